"""Baselines: one file a modality, found by its name: `fit_baselines`, and `fit_anchors` where some take no time."""
