"""Importance-weighted bound on the log-likelihood: nearer to -log p(x) the more draws (Burda et al. 2016)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from genfoundry.evaluation.bootstrap import Estimate, estimate_sum_of_means
from genfoundry.evaluation.metric import Metric, Requirement
from genfoundry.evaluation.metrics import likelihood
from genfoundry.evaluation.scores import Outputs, Scores, add_groups, with_ids
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.evaluation.context import EvalContext


def tighten(model: Any, context: EvalContext) -> Outputs:
    """ "iw_bound" (n,), nats, of some items, and which they are, "iw_index" (n,)."""
    import torch

    from genfoundry.config import Bound
    from genfoundry.data.iterate import EVAL_BATCH, iter_batches, sample_indices

    split, bound = context.split, context.bound or Bound()
    index, parts = sample_indices(split, min(bound.items, len(split))), []
    for i, batch in enumerate(iter_batches(split, index, EVAL_BATCH)):
        torch.manual_seed(derive_seed(context.seed, split.name, "bound", i))
        parts.append(model.bound(batch.to(model.device), bound.k).cpu().double())
    return {"iw_bound": torch.cat(parts), "iw_index": index}


def score_gap(outputs: Outputs, context: EvalContext) -> Scores:
    """ "bound_gap" (n,): by how many nats the importance-weighted bound is below the reported one."""
    if "iw_bound" not in outputs or "nll" not in outputs:
        return {}
    index = outputs["iw_index"]
    gap = (outputs["nll"][index].double() - outputs["iw_bound"]).numpy()  # (n,)
    return add_groups({"bound_gap": gap}, context.split, index)


def _subtract_gap(scores: Scores, dims: int, *, name: str) -> dict[str, Estimate]:
    """The reported bound over all items, less the gap over some: the gap varies less than the bound does."""
    (nll, ids), (gap, gap_ids) = with_ids(scores, "nll"), with_ids(scores, "bound_gap")
    factor = likelihood.FACTORS[name](dims)
    value = factor * float(nll.mean() - gap.mean())
    return {f"{name}_iw": estimate_sum_of_means(value, (factor * nll, ids), (-factor * gap, gap_ids))}


TIGHTEN = Requirement(
    "importance-weighted bound",
    ("Tightens", "likelihood"),
    lambda model, judge: "not finite" if hasattr(model, "bound") else "no bound that more draws tighten",
)
METRICS = tuple(
    Metric(
        name=f"{metric.name}_iw",
        title=f"{metric.title}, IW",
        unit=metric.unit,
        direction="minimize",
        description="the importance-weighted bound: nearer to -log p(x) the more draws",
        requires=TIGHTEN,
        group="likelihood",
        inputs=("bound_gap", "nll"),
        modalities=metric.modalities,
        column=False,
        test_only=True,
        predict=tighten,
        score=score_gap,
        statistics=partial(_subtract_gap, name=metric.name),
    )
    for metric in likelihood.METRICS
    if metric.name in likelihood.FACTORS
)
