"""The notebooks as pages, copies for a class, and an app."""
