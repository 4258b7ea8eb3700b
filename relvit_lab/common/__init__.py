"""Knows nothing of RelViT: errors, paths, values of options, randomness, this process."""
