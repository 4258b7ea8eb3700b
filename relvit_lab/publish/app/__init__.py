"""The explorers as an app without code, for a lecture or a class: `python -m relvit_lab app` (Voila serves it)."""
