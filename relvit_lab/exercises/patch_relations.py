"""Exercises and predictions of notebook 01_patch_relations."""
