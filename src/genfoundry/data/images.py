"""Images: uint8 arrays (N,C,H,W) with labels; items are images, and so are training positions."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genfoundry import config
from genfoundry.data import sources
from genfoundry.data.base import SPLITS, Arrays, Prepared, assign
from genfoundry.data.pictures import Pictures, read, read_file
from genfoundry.types import Batch, Spec, UserError, counted

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

CHUNK = 8192  # images described or binarised at a time
Place = tuple[int, int]  # which Pictures, which image in it


def prepare(raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
    """Images and labels -> arrays a split.

    A published test split is kept whole; an image that stands in it joins no other split, whether it comes from the
    source's train or from the inbox. Any other image is hashed, and one of the inbox that is there already is left out.
    """
    found = read(raw, inbox, dataset.levels)
    classes = _classes(found, dataset)
    keys = [[_digest(image) for image in part.x] for part in found]
    chosen = _chosen(found, keys, dataset, seed)
    splits = {name: _gather(found, places) for name, places in chosen.items()}
    tables = [
        _describe(splits[name], name, [keys[p][i] for p, i in places], [found[p].sources[i] for p, i in places])
        for name, places in chosen.items()
    ]
    label = splits["train"]["label"]
    counts = tuple(int((label == c).sum()) for c in range(classes))
    spec = Spec(found[0].x.shape[1:], dataset.levels, classes, counts)
    names = found[0].names or sources.names(dataset) or tuple(map(str, range(classes)))
    return Prepared(splits, spec, names[:classes], {n: len(p) for n, p in chosen.items()}, _joined(tables))


def open(
    name: str, tensors: dict[str, Tensor], spec: Spec, levels: int | None, binarise: str | None
) -> ImagesSplit:
    """The split of prepared arrays, quantised or binarised."""
    assert spec.levels is not None
    wanted = 2 if binarise else levels or spec.levels
    if not 2 <= wanted <= spec.levels or (binarise and levels not in (None, 2)):
        raise UserError(
            f"data: levels {levels}, binarise {binarise}: these images have {spec.levels} levels; give 2 to that many, "
            "and 2 or none where they are binarised"
        )
    return ImagesSplit(name, tensors, replace(spec, levels=wanted), spec.levels, binarise)


def quantised(x: NDArray[Any], native: int, levels: int, binarise: str | None = None, name: str = "") -> NDArray[np.uint8]:
    """Values 0..native-1 at fewer levels: x * levels // native, or for `dynamic` the one draw that evaluation reads.

    The draw is a function of `name` and the item's place, so that items which arrive later change no other.
    """
    if binarise != "dynamic":
        return (x.astype(np.int32) * levels // native).astype(np.uint8)
    draw = np.random.Generator(np.random.Philox(counted("binarise", name)))
    parts = np.split(x, range(CHUNK, len(x), CHUNK))
    return np.concatenate([draw.random(p.shape, np.float32) * (native - 1) < p for p in parts]).astype(np.uint8)


def read_images(file: Path) -> NDArray[np.uint8]:
    """All images (N,C,H,W) of one file, of any kind that the inbox takes."""
    return np.concatenate([part.x for part in read_file(file)])


class ImagesSplit:
    """Images on a device; with dynamic binarisation, training draws them anew and evaluation reads one fixed draw."""

    def __init__(self, name: str, tensors: dict[str, Tensor], spec: Spec, native: int, binarise: str | None) -> None:
        import torch

        grey, assumed = tensors["x"], spec.levels or native
        self.name, self.spec, self.label = name, spec, tensors["label"].long()
        self.whole = grey
        if binarise or assumed != native:
            few = quantised(grey.cpu().numpy(), native, assumed, binarise, name)
            self.whole = torch.from_numpy(few).to(grey.device)
        self._grey = grey if binarise == "dynamic" else None
        self._top = native - 1

    def __len__(self) -> int:
        return len(self.whole)

    @property
    def positions(self) -> int:
        return len(self.whole)

    def batch(self, index: Tensor) -> Batch:
        index = index.to(self.whole.device)
        return Batch(self.whole[index].long(), label=self.label[index])

    def crop(self, position: Tensor) -> Batch:
        if self._grey is None:
            return self.batch(position)
        position = position.to(self.whole.device)
        return Batch((self._grey[position].float() / self._top).bernoulli().long(), label=self.label[position])


def _digest(image: NDArray[np.uint8]) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()[:16]


def _classes(found: list[Pictures], dataset: config.Dataset) -> int:
    """Number of classes: what `expect.labels` declares, else what the raw files have; every label is one of them."""
    own = max((int(part.label.max(initial=-1)) + 1 for part in found if not part.new), default=0)
    classes = dataset.expect.labels or max(own, len(found[0].names))
    for part in found:
        wrong = np.flatnonzero((part.label < -1) | (part.label >= classes))
        if len(wrong):
            i = int(wrong[0])
            raise UserError(
                f"{part.sources[i]}: image {i} has label {part.label[i]}, outside the classes 0 to {classes - 1} "
                f"({len(wrong)} such labels)"
            )
    return classes


def _chosen(
    found: list[Pictures], keys: list[list[str]], dataset: config.Dataset, seed: int
) -> dict[str, list[Place]]:
    """The images of each split."""
    published = {key for part, own in zip(found, keys, strict=True) if part.published for key in own}
    there = set(published)
    chosen: dict[str, list[Place]] = {name: [] for name in SPLITS}
    for p, part in enumerate(found):
        for i, key in enumerate(keys[p]):
            if part.published:
                chosen["test"].append((p, i))
            elif key not in (there if part.new else published):
                chosen[assign(seed, key.encode(), dataset, bool(published))].append((p, i))
            there.add(key)
    return chosen


def _gather(found: list[Pictures], places: list[Place]) -> Arrays:
    where = np.array(places, np.int64).reshape(-1, 2)  # in the order of `found`
    picked = [where[where[:, 0] == p, 1] for p in range(len(found))]
    x = np.concatenate([part.x[index] for part, index in zip(found, picked, strict=True)])
    label = np.concatenate([part.label[index] for part, index in zip(found, picked, strict=True)])
    return {"x": x, "label": label.astype(np.int16)}


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat(tables, ignore_index=True)


def _describe(arrays: Arrays, split: str, keys: list[str], files: list[str]) -> pd.DataFrame:
    """One row an image."""
    import pandas as pd

    flat = arrays["x"].reshape(len(arrays["x"]), -1)
    parts = [_statistics(part) for part in np.split(flat, range(CHUNK, len(flat), CHUNK))]
    columns: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    columns |= {"label": arrays["label"].astype(np.int64), "length": flat.shape[1], "unknown": 0, "time": np.nan}
    columns |= {"finite": True, "digest": keys, "source": files, "split": split}
    return pd.DataFrame(columns, index=range(len(flat)))


def _statistics(flat: NDArray[np.uint8]) -> Arrays:
    """Least, greatest, mean, standard deviation and number of distinct values of each row of (N, V)."""
    seen = np.zeros((len(flat), 256), bool)
    seen[np.arange(len(flat))[:, None], flat] = True
    mean = flat.mean(1, dtype=np.float64)
    square = (flat.astype(np.uint16) ** 2).mean(1, dtype=np.float64)  # 255**2 fits in 16 bits
    return {
        "min": seen.argmax(1).astype(np.float64),
        "max": (255 - seen[:, ::-1].argmax(1)).astype(np.float64),
        "mean": mean,
        "spread": np.sqrt(np.maximum(square - mean**2, 0)),
        "distinct": seen.sum(1),
    }
