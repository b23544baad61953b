"""Video: frames that are given and frames that follow, (N, P + T, C, H, W) uint8; made by seed of images."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from genfoundry import config
from genfoundry.data.modalities.describe_pixels import describe
from genfoundry.data.preparation import Arrays, Prepared
from genfoundry.data.readers import image_folder
from genfoundry.data.readers.images import SUFFIXES, Form
from genfoundry.data.readers.listing import require_suffixes
from genfoundry.data.split_assignment import number_groups
from genfoundry.data.transforms.moving_items import assign_items, choose_casts, make_videos
from genfoundry.errors import UserError
from genfoundry.splits import HELD_OUT, SPLITS
from genfoundry.types import Spec

LEVELS = 2


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """Every image in its split, then each split's videos of its own images; the table's source are a video's items.

    No two held-out videos show one item, as far as there are enough: they would be no independent items.
    """
    assert dataset.moving is not None and dataset.size is not None
    require_suffixes(inbox, ".npz", "-ubyte", "-ubyte.gz", *SUFFIXES)
    form = Form(None, "grey", None, dataset.slices, "none", dataset.label)
    old = image_folder.read_images(raw, form, apart=True)
    new = image_folder.read_images(inbox, replace(form, label=form.label or old.label), old.layout, apart=True)
    pools = assign_items(old.parts + new.parts, dataset, dataset.moving, seed)
    steps, counts = dataset.context + dataset.window, dataset.moving.videos.model_dump()
    splits: dict[str, Arrays] = {}
    source: list[str] = []
    for name in SPLITS:
        if not len(pools[name].x):
            raise UserError(
                f"{raw}: expected an image for split {name}, got none; add images, or give it a larger share"
            )
        key = (seed, "moving", name)
        cast = choose_casts(pools[name], counts[name], dataset.moving.items, key) if name in HELD_OUT else None
        x, items = make_videos(pools[name], counts[name], steps, dataset.size, dataset.moving, key, cast)
        casts = [] if cast is None else [row.tobytes() for row in cast]
        group = {"group": number_groups(casts)} if len(set(casts)) < len(casts) else {}
        splits[name] = {"x": x} | group
        source += items
    x = np.concatenate([splits[name]["x"] for name in SPLITS])
    split_of = np.repeat(SPLITS, [counts[name] for name in SPLITS])
    digest = [hashlib.sha256(video.tobytes()).hexdigest()[:16] for video in x]
    table = describe(x, np.full(len(x), -1), split_of, np.array(digest), np.array(source))
    frame = (1, *dataset.size)
    spec = Spec((dataset.window, *frame), LEVELS, cond_shape=(dataset.context, *frame), cond_levels=LEVELS)
    return Prepared(splits, spec, (), counts, table)
