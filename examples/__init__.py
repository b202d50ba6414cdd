"""Desks that are useful in themselves and short enough to be copied."""
