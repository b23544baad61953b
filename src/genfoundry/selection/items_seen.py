"""Which items some version of the code takes a split to have: `incumbent` runs this text under a champion's own code.

As a program it does what `python -m genfoundry.evaluate` does, and prints the digest of the items that it answered for.
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

AT_ONCE = 500  # items


def hash_items(split: Split) -> str:
    """Hex digest of the values of a split's evaluation items, in order; float32, which all versions can tell apart."""
    total = hashlib.sha256()
    batch = split.eval_batch if hasattr(split, "eval_batch") else split.batch  # type: ignore[attr-defined]  # of older commits
    for part in torch.split(torch.arange(len(split)), AT_ONCE):
        total.update(batch(part).x.cpu().float().contiguous().numpy().tobytes())
    return total.hexdigest()


def main() -> None:
    evaluate = importlib.import_module("genfoundry.evaluate")  # an entry that every version has
    try:
        from genfoundry.data.dataset import Dataset
        from genfoundry.errors import UserError
    except ImportError:  # a commit of before the packages
        from genfoundry.data.base import Dataset  # type: ignore[import-not-found, no-redef]
        from genfoundry.types import UserError  # type: ignore[attr-defined, no-redef]

    model, data, name = (sys.argv[sys.argv.index(f"--{key}") + 1] for key in ("model", "data", "split"))
    card = json.loads((Path(model) / "model.json").read_text(encoding="utf-8")).get("data", {})
    try:
        evaluate.main()
        print(hash_items(Dataset(Path(data)).split(name, **{key: card.get(key) for key in ("levels", "binarise")})))
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
