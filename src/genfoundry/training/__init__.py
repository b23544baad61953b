"""Training: one loop for every model, with checkpoints, hyperparameter search (Optuna), device and optimizer.

Imports `models`, `data`, `config` and `nn`; it knows no model by name and no metric.
"""
