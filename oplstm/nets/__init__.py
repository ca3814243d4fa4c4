"""Batched building blocks on the axes (R, B, ...)."""
