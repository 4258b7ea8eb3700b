"""Exercises and predictions of notebook 05_pe_shortcut."""
