"""Baselines: one file a modality, whose `fit_baselines` and `fit_anchors` are found by the modality's name."""
