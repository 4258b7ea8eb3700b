"""Tables 1 to 5: the runs that count (runs.py), the paper's numbers and ours side by side, and four ways to write them."""
