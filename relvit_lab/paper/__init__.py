"""The paper's numbers, runs, tables and figures."""
