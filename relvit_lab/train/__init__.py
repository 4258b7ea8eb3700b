"""One experiment to its end."""
