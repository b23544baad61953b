"""Adversarial models of images: generators, critics and their normalisation, losses, penalties and augmentation."""
