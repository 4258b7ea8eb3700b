"""Tables 1 to 5: the runs that count (runs.py), paper and ours side by side (side_by_side.py), and what is written."""
