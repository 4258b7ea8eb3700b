"""§4: one self-contained HTML page of the runs, which `make report` writes."""
