"""Digest of a split's items by the code of an old commit. `champion_scores` runs this file's text with that code.

As a program it does what `python -m genfoundry.evaluate` does, and prints the digest of the items it was done for.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from genfoundry.splits import Split

BATCH = 500  # items


def hash_items(split: Split) -> str:
    """Hex digest of the values of a split's evaluation items, in order; as float32, which every commit can give."""
    digest = hashlib.sha256()
    batch = split.eval_batch if hasattr(split, "eval_batch") else split.batch  # type: ignore[attr-defined]  # older commits
    for index in torch.split(torch.arange(len(split)), BATCH):
        digest.update(batch(index).x.cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def main() -> None:
    """Write the predictions that the command line asks for, then print the digest of the items."""
    evaluate = importlib.import_module("genfoundry.evaluate")  # an entry that every commit has
    try:
        from genfoundry.data.dataset import Dataset
        from genfoundry.errors import UserError
    except ImportError:  # a commit of before the packages
        from genfoundry.data.base import Dataset  # type: ignore[import-not-found, no-redef]
        from genfoundry.types import UserError  # type: ignore[attr-defined, no-redef]

    model, data, name = (sys.argv[sys.argv.index(f"--{key}") + 1] for key in ("model", "data", "split"))
    # Read here rather than through the package, whose function for it has had several names.
    settings = json.loads((Path(model) / "model.json").read_text(encoding="utf-8")).get("data", {})
    try:
        evaluate.main()
        split = Dataset(Path(data)).split(name, **{key: settings.get(key) for key in ("levels", "binarise")})
        print(hash_items(split))
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
