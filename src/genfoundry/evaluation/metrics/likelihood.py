"""Negative log-likelihood of test items, or a bound on it, in the units of each kind of data; rate and distortion.

A text is scored on independent windows, and by a stateful model also as one stream whose state is carried on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from genfoundry.evaluation.metric import ALL, Metric, Requirement
from genfoundry.evaluation.scores import Array, Outputs, Scores, add_groups
from genfoundry.seeding import derive_seed
from genfoundry.splits import Contiguous

if TYPE_CHECKING:
    from torch import Tensor

    from genfoundry.evaluation.context import SplitContext
    from genfoundry.splits import Split

CARRIED = "nll_carried"  # (N,) nats of each window given all before it in its part of the split
CELLS = "nll_cells"  # (N,) values of an item that are there, beside "nll" where some are missing
LANES = 32  # parts of a split that are read side by side: only their first windows start from nothing


def measure(model: Any, context: SplitContext) -> Outputs:
    """ "nll" (N,) and whatever else the model measures beside it, nats in float64."""
    import torch

    from genfoundry.data.iterate import EVAL_BATCH, iter_batches

    parts = []
    for i, batch in enumerate(iter_batches(context.split, size=EVAL_BATCH)):
        torch.manual_seed(derive_seed(context.seed, context.split.name, "measure", i))  # noise of a bound
        parts.append(model.measure(batch.to(model.device)))
    return {name: torch.cat([p[name].cpu().double() for p in parts]) for name in parts[0]}


def measure_stream(model: Any, context: SplitContext) -> Outputs:
    """ "nll_carried" (N,) of a text, nats in float64."""
    return {CARRIED: stream_nats(model, context.split)} if isinstance(context.split, Contiguous) else {}


def stream_nats(model: Any, split: Split, lanes: int = LANES) -> Tensor:
    """(N,) nats of each item given all before it in its part of the split."""
    import torch

    length = -(-len(split) // min(lanes, len(split)))  # of a part, in items
    first = torch.arange(0, len(split), length)  # (lanes,)
    state, parts = None, []
    for step in range(length):
        index = (first + step).clamp(max=len(split) - 1)  # the last part may be shorter: what follows is cut off
        nll, state = model.stream(split.eval_batch(index.to(split.tensor.device)).to(model.device), state)
        parts.append(nll.cpu().double())
    return torch.stack(parts, 1).flatten()[: len(split)]  # (lanes, length) -> (N,)


def score_likelihood(outputs: Outputs, context: SplitContext) -> Scores:
    """Each measured quantity as it is; "frame", the nll a frame of a video; "nll_cells", the values there are (N,)."""
    split = context.split
    measured = {k: v for k, v in outputs.items() if v.ndim == 1 and v.is_floating_point()}
    scores = {k: v.double().numpy() for k, v in measured.items()}
    if "nll" in scores and len(split.spec.shape) == 4:  # (T, C, H, W)
        scores["frame"] = scores["nll"] / split.spec.shape[0]
    if "nll" in scores and (cells := _count_cells(split)) is not None:
        scores[CELLS] = cells
    return add_groups(scores, split)


def _count_cells(split: Split) -> Array | None:
    """(N,) values of each item that are there; None where none is missing."""
    if split.spec.levels is not None or not split.tensor.isnan().any():
        return None
    import torch

    from genfoundry.data.iterate import iter_batches

    return np.asarray(torch.cat([(~b.x.isnan()).flatten(1).sum(1) for b in iter_batches(split)]).cpu().double().numpy())


def per_value(scores: Scores, dims: int) -> Array:
    """Nats a value: where values are missing, (N,) items whose mean is the sum of nats over the number of values.

    Their spread is that of this ratio (the ratio estimator and its linearisation, Cochran 1977, 6.4): an item with few
    values weighs little.
    """
    total = np.asarray(scores["nll"], np.float64)
    if CELLS not in scores:
        return total * (1 / dims)
    cells = np.asarray(scores[CELLS], np.float64)
    ratio = total.sum() / cells.sum()
    return np.asarray(ratio + (total - ratio * cells) / cells.mean())  # their mean is the ratio


def scale_score(scores: Scores, dims: int, *, name: str, factor: Callable[[int], float]) -> Array:
    """A score times a factor of the number of values in an item."""
    return np.asarray(scores[name], np.float64) * factor(dims)


def explain_missing_likelihood(model: Any, judge: Any) -> str:
    """Why a model has no likelihood."""
    return "no likelihood" if getattr(model, "likelihood", "none") == "none" else "not finite"


LIKELIHOOD = Requirement("likelihood", ("likelihood",), explain_missing_likelihood, reference="no likelihood")
STREAM = Requirement("likelihood with the state carried", ("Streams",), lambda model, judge: "carries no state")
RATE = Requirement("rate and distortion", ("likelihood",), lambda model, judge: "its codes cost no nats")
FACTORS: dict[str, Callable[[int], float]] = {
    "bits_per_dim": lambda dims: 1 / (dims * math.log(2)),
    "nats_per_char": lambda dims: 1 / dims,
    "nats_per_sample": lambda dims: 1.0,
}
FRAME = "the same, a frame that is predicted"
IN_DATA = "negative log-likelihood of test items, or a bound on it"


def _likelihood(
    name: str, unit: str, modalities: tuple[str, ...], title: str = "", score: str = "nll", **more: Any
) -> Metric:
    defaults: dict[str, Any] = {"description": IN_DATA, "requires": LIKELIHOOD, "predict": measure}
    defaults |= {"score": score_likelihood, "group": "likelihood", "objective": True}
    if name in FACTORS:
        defaults["per_item"] = partial(scale_score, name=score, factor=FACTORS[name])
    return Metric(
        name=name,
        title=title or name.replace("_", " "),
        unit=unit,
        direction="minimize",
        inputs=(score,),
        modalities=modalities,
        **{**defaults, **more},
    )


METRICS = (
    _likelihood("bits_per_dim", "bits", ("images", "video"), "bits/dim"),
    _likelihood("nats_per_char", "nats", ("text",), "nats/char"),
    _likelihood(
        "nats_per_char_carried",
        "nats",
        ("text",),
        "nats/char, carried",
        CARRIED,
        description="the same of test text read in one go, the state carried from each window to the next",
        requires=STREAM,
        predict=measure_stream,
        per_item=partial(scale_score, name=CARRIED, factor=FACTORS["nats_per_char"]),
    ),
    _likelihood("nats", "nats a value", ("images", "text", "series", "video"), per_item=per_value, optional=(CELLS,)),
    _likelihood("nats_per_sample", "nats a sample", ALL),
    _likelihood(
        "nats_per_frame",
        "nats a frame",
        ("video",),
        "nats/frame",
        "frame",
        description=FRAME,
    ),
    *(
        _likelihood(
            name,
            "nats a sample",
            ALL,
            description=says,
            requires=RATE,
            group="codes",
            objective=False,
            column=False,
            score=name,
            per_item=None,
        )
        for name, says in {
            "rate": "nats that the codes cost",
            "distortion": "nats that the item costs once its codes are known",
        }.items()
    ),
)
