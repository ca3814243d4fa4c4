"""Experiments behind docs/published.md that need more than the product's verbs: what makes their data."""
