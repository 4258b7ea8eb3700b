"""For those who teach: copies of the notebooks for a class, and a table of what its students handed in."""
