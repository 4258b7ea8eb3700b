"""`make site`: the notebooks as pages that need no kernel and no network, opened from disk."""
