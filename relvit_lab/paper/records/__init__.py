"""Records of finished stages, and what is said of them."""
