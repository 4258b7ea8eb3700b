"""Exercises and predictions of notebook 02_mega_patches."""
