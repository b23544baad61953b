"""Feature network of a data set, which sees an image as a whole."""

from __future__ import annotations

from genfoundry.models.families.feature_network import FeatureNetwork


class Judge(FeatureNetwork):
    """x (B, C, H, W) -> 64 features -> logits (B, classes), or of rotations where no image has a label."""
