"""A trained model in a page: what it carries (pack.py), and how it is computed there (transformer.js, quick_product.js,
pixels.js)."""
