"""Notebook 04_train has no exercises; its prediction stands in predictions.toml."""
