"""The paper, section by section."""
