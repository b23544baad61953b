"""Causal networks over grids and token sequences, and ancestral sampling from them."""
