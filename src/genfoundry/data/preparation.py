"""Raw files and inbox become a prepared data set: arrays a split, spec.json, a description table."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from genfoundry import config, files
from genfoundry.data.split_assignment import count_groups, require_groups
from genfoundry.errors import UserError
from genfoundry.splits import SPLITS
from genfoundry.types import Spec

if TYPE_CHECKING:
    import pandas as pd

Arrays = dict[str, NDArray[Any]]
# Keys of the entry that files which are scored later are read by, too.
DECLARED = {"size", "colour", "patch", "label", "flip", "columns", "missing", "step", "numbered", "header"}


class EmptySplit(UserError):
    """A split has no item."""


@dataclass(frozen=True)
class Prepared:
    """What a modality makes of raw files and inbox.

    Attributes:
        splits: split -> arrays by name.
        spec: what one sample is.
        names: of the classes, or of a series' columns.
        counts: split -> number of items.
        describe: the description table, a row a sample.
        declared: keys that the files decided and later ones are read by, too.
    """

    splits: dict[str, Arrays]
    spec: Spec
    names: tuple[str, ...]
    counts: dict[str, int]
    describe: pd.DataFrame
    declared: Mapping[str, Any] = field(default_factory=dict)


class Modality(Protocol):
    """What a file in `data.modalities` offers; the class of its splits is in `data.splits`."""

    def prepare(self, raw: Path, inbox: Path, dataset: config.Dataset, seed: int) -> Prepared:
        """Raw files and inbox as arrays."""


def load_modality(name: str) -> Modality:
    """The module of a modality."""
    return cast(Modality, importlib.import_module(f"genfoundry.data.modalities.{name}"))


def prepare(raw: Path, inbox: Path, out: Path, dataset: config.Dataset, seed: int) -> None:
    """Write `out`: a safetensors file a split, spec.json, describe.parquet; all or nothing.

    Raises:
        UserError: a file is damaged or does not fit the declaration, or a split would be empty or of one group.
    """
    from safetensors.numpy import save_file

    made = load_modality(dataset.modality).prepare(raw, inbox, dataset, seed)
    for name in SPLITS:
        if not made.counts.get(name):
            raise EmptySplit(
                f"{raw}: expected items in split {name}, got none ({made.counts}); add data, or give it a "
                "larger share under split"
            )
    groups = count_groups(made.splits)
    require_groups(raw, groups, dataset)
    with files.replace_dir(out) as folder:
        digest = hashlib.sha256()
        for name in SPLITS:
            arrays = {key: np.ascontiguousarray(value) for key, value in made.splits[name].items()}
            save_file(arrays, folder / f"{name}.safetensors")  # which copies nothing
            digest.update(bytes.fromhex(files.sha256(folder / f"{name}.safetensors")))
        made.describe.to_parquet(folder / "describe.parquet", index=False)
        meta = {
            "modality": dataset.modality,
            "spec": made.spec.to_json(),
            "alphabet": dataset.alphabet or None,
            "names": list(made.names),
            "counts": made.counts,
            "digest": digest.hexdigest(),
        }
        meta |= {"groups": groups} if groups else {}
        given = dataset.model_dump(mode="json", include=DECLARED, exclude_defaults=True)
        if declared := {**made.declared, **given}:
            meta["declared"] = declared
        files.write_json(folder / "spec.json", meta)
