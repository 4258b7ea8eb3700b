"""Exercises and predictions of notebook 03_attention_scores."""
