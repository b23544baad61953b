"""Video: frames that are given and frames that follow, (N, P + T, C, H, W) uint8; made by seed of images."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genfoundry import config
from genfoundry.data.modalities.describe_pixels import describe
from genfoundry.data.preparation import Arrays, Prepared
from genfoundry.data.readers import image_folder
from genfoundry.data.readers.images import SUFFIXES, Form
from genfoundry.data.readers.listing import only
from genfoundry.data.split_assignment import numbered
from genfoundry.data.transforms.moving_items import casts, pools, videos
from genfoundry.errors import UserError
from genfoundry.splits import HELD_OUT, SPLITS
from genfoundry.types import Spec

if TYPE_CHECKING:
    pass

LEVELS = 2


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """Every image in its split, then each split's videos of its own images; a row a video, its source the items.

    No two held-out videos show one item, as far as there are enough: they would be no independent items.
    """
    assert dataset.moving is not None and dataset.size is not None
    only(inbox, ".npz", "-ubyte", "-ubyte.gz", *SUFFIXES)
    form = Form(None, "grey", None, dataset.slices, "none", dataset.label)
    old = image_folder.read(raw, form, apart=True)
    new = image_folder.read(inbox, replace(form, label=form.label or old.label), old.layout, apart=True)
    held = pools(old.parts + new.parts, dataset, dataset.moving, seed)
    steps, counts = dataset.context + dataset.window, dataset.moving.videos.model_dump()
    made, splits = {}, {}
    for name in SPLITS:
        if not len(held[name].x):
            raise UserError(f"{raw}: no image for split {name}; add images, or give it a larger share under split")
        key = (seed, "moving", name)
        cast = casts(held[name], counts[name], dataset.moving.items, key) if name in HELD_OUT else None
        made[name] = videos(held[name], counts[name], steps, dataset.size, dataset.moving, key, cast)
        splits[name] = {"x": made[name][0]} | _groups(cast)
    x = np.concatenate([made[name][0] for name in SPLITS])
    source = [words for name in SPLITS for words in made[name][1]]
    where = np.repeat(SPLITS, [counts[name] for name in SPLITS])
    digest = [hashlib.sha256(video.tobytes()).hexdigest()[:16] for video in x]
    table = describe(x, np.full(len(x), -1), where, np.array(digest), np.array(source))
    frame = (1, *dataset.size)
    spec = Spec((dataset.window, *frame), LEVELS, cond_shape=(dataset.context, *frame), cond_levels=LEVELS)
    return Prepared(splits, spec, (), counts, table)


def _groups(cast: np.ndarray | None) -> Arrays:
    """The group of each video where some have one cast."""
    names = [] if cast is None else [row.tobytes() for row in cast]
    return {"group": numbered(names)} if len(set(names)) < len(names) else {}
