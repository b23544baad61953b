"""Adversarial training: losses of critic and generator, gradient penalties, augmentation, and their networks."""
