"""Flows: invertible transforms with a known change of density, and vector fields that are integrated."""
