"""Explorers: each a Python face here and one .js file beside it, drawn in the browser by anywidget."""
