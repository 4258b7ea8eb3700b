"""What the notebooks ask and show, a folder a notebook."""
