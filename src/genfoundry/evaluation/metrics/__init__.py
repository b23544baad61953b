"""Metrics of what a model can do, one file each; they apply to every model that has the ability."""
