"""Tables 1 to 5: the runs that count (finished.py), paper and ours side by side (numbers.py), and what is written."""
