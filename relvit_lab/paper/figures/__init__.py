"""The files in the folder figures/: draw.py writes them, the others draw those that take more than a few lines."""
