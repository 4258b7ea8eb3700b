"""Tables 2 to 5 and Figure 4 as runs: cells, cost, sweep."""
