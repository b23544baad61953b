"""Evaluation: predictions of a model on a split, scores of each item, metrics with intervals, baselines, plots.

A metric is one file in `metrics`, a baseline family one file in `baselines`. Imports `training` (for classifiers that
are trained on samples), `models`, `data`, `config` and `nn`; it knows no stage and no model by name.
"""
