"""Translations of some items' sources, against their targets: chrF, and lines that are right in every character."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.data.iterate import EVAL_BATCH, sample_indices
from genfoundry.evaluation.chrf import ASKED, chrf, grams
from genfoundry.evaluation.groups import grouped
from genfoundry.evaluation.predictions import Answers, Scores
from genfoundry.models.abilities import Translates

if TYPE_CHECKING:
    from genfoundry.data.splits.pairs import PairSplit
    from genfoundry.models.base import Learner
    from genfoundry.splits import Split
    from genfoundry.types import Batch


def answers(model: Learner, split: Split, needs: Collection[str], samples: int, seed: int) -> Answers:
    """ "translated" (n, T) int16: the translations of what is `asked`."""
    if not isinstance(model, Translates) or split.spec.cond_levels is None:
        return {}
    return {"translated": translated(model, split, EVAL_BATCH)}


def asked(split: Split) -> Batch:
    """The items whose sources are translated, the same for everyone."""
    return split.eval_batch(index(split).to(split.tensor.device))


def index(split: Split) -> Tensor:
    """(n,) which items these are."""
    return sample_indices(split, min(ASKED, len(split)))


def scores(
    found: Mapping[str, Tensor], split: Split, judge: Learner | None, real: NDArray[np.generic] | None
) -> Scores:
    """ "chrf" (n,), of 100, and "exact_lines" (n,), 1 or 0, of translations (n, T) of what was `asked`."""
    made, true = texts(found["translated"], split)
    exact = np.array([a == b for a, b in zip(made, true, strict=True)], np.float64)
    return grouped({"chrf": chrf(grams(made, true)), "exact_lines": exact}, split, index(split))


def texts(translated: Tensor, split: Split) -> tuple[list[str], list[str]]:
    """Translations, and the targets that they should be."""
    pairs = cast("PairSplit", split)
    return pairs.texts(translated), pairs.texts(asked(split).x)


def translated(model: Any, split: Split, size: int) -> Tensor:
    """(n, T) int16: the translations of what is `asked`, `size` at a time."""
    batch, parts = asked(split), []
    assert batch.cond is not None
    for part in torch.split(torch.arange(len(batch)), size):
        mask = None if batch.cond_mask is None else batch.cond_mask[part].to(model.device)
        parts.append(model.translate(batch.cond[part].to(model.device), mask).cpu().to(torch.int16))
    return torch.cat(parts)
