"""Latent-space diagnostics: active units, codebook perplexity, a linear probe of the codes, interpolation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from genfoundry.evaluation import plots
from genfoundry.evaluation.bootstrap import Estimate, bootstrap_sums
from genfoundry.evaluation.metric import ALL, Draw, Metric, Requirement
from genfoundry.evaluation.scores import Array, Ids, Outputs, Scores, add_groups, with_ids
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from genfoundry.evaluation.context import EvalContext
    from genfoundry.splits import Split

TRAIN, TEST = 2000, 1000  # items that are encoded
STRIPS, STEPS = 12, 10  # pairs of items; images from one to the other
ROUNDS = 200  # of the linear classifier's solver
WIDE, NARROW = 1024, 512  # more values than that are projected at random on so many before a classifier reads them
ACTIVE = 0.01  # variance over items of a code's posterior mean, above which it carries something (Burda et al. 2016)
PERPLEXITY = {"codes": "perplexity", "top": "perplexity_top", "bottom": "perplexity_bottom"}  # level -> metric


@dataclass(frozen=True)
class Encoded:
    """Items of a split: indices (n,), values (n, *shape), codes (n, K), labels (n,) if every item has one."""

    index: Tensor
    x: Tensor
    z: Tensor
    label: Tensor | None


def encode_items(model: Any, split: Split, n: int) -> Encoded:
    """Codes of some items of a split."""
    import torch

    from genfoundry.data.iterate import EVAL_BATCH, iter_batches, sample_indices

    index = sample_indices(split, min(n, len(split)))
    small = split.spec.levels is not None and split.spec.levels <= 256  # a byte a value
    x, z, labels = [], [], []
    for part in iter_batches(split, index, EVAL_BATCH):
        x.append(part.x.cpu().to(torch.uint8 if small else part.x.dtype))
        z.append(model.embed(part.to(model.device)).cpu().float().flatten(1))
        labels += [part.label.cpu()] if part.label is not None else []
    label = torch.cat(labels) if len(labels) == len(x) else None
    return Encoded(index, torch.cat(x), torch.cat(z), None if label is None or (label < 0).any() else label)


def encode_splits(model: Any, context: EvalContext) -> tuple[Encoded, Encoded] | None:
    """Codes of train and test items; None where one is not finite."""

    def encode() -> tuple[Encoded, Encoded]:
        return encode_items(model, context.train, TRAIN), encode_items(model, context.split, TEST)

    # The probe, the map and edits share them
    train, test = context.once(f"codes by model {id(model)}", encode)
    return (train, test) if train.z.isfinite().all() and test.z.isfinite().all() else None


def encode(model: Any, context: EvalContext) -> Outputs:
    """ "encoded", of train and test items; "posterior_means" (n, K); "interpolation", strips of images.

    Each strip is an item, decoded codes on the line from its own to that of another, and the other.
    """
    import torch

    from genfoundry.data.iterate import EVAL_BATCH, iter_batches
    from genfoundry.models.abilities import Decodes, Infers

    if (encoded := encode_splits(model, context)) is None:
        return {}
    test = encoded[1]
    outputs: Outputs = {"encoded": encoded}
    if isinstance(model, Infers):
        parts = iter_batches(context.split, test.index, EVAL_BATCH)
        means = [model.posterior_means(part.to(model.device)).cpu().double() for part in parts]  # type: ignore[attr-defined]
        outputs["posterior_means"] = torch.cat(means)
    if isinstance(model, Decodes) and len(context.split.spec.shape) == 3 and len(test.z) > 1:
        n = min(STRIPS, len(test.z) // 2)
        made = interpolate(model, test.z[:n], test.z[n : 2 * n]).cpu().float()  # (n, STEPS, *shape)
        strips = [test.x[:n, None].float(), made, test.x[n : 2 * n, None].float()]
        outputs["interpolation"] = torch.cat(strips, 1).flatten(0, 1)  # (n (STEPS + 2), *shape)
    return outputs


def interpolate(model: Any, a: Tensor, b: Tensor, steps: int = STEPS) -> Tensor:
    """(n, steps, *shape): decoded codes on the (straight) way from a to b (n, K); the ends are reconstructions."""
    import torch

    share, way = torch.linspace(0, 1, steps)[:, None], getattr(model, "interpolate", torch.lerp)  # (steps, 1)
    z = way(a[:, None], b[:, None], share).flatten(0, 1).to(model.device)  # (n steps, K)
    made: Tensor = model.decode(z)
    return made.view(len(a), steps, *made.shape[1:])


def _can_probe(encoded: tuple[Encoded, Encoded]) -> bool:
    train, test = (part.label for part in encoded)
    return train is not None and test is not None and not bool((train == train[0]).all())


def score_codes(outputs: Outputs, context: EvalContext) -> Scores:
    """ "codes" (n, K): posterior means of test items; "probe_accuracy" (n,): whether a probe tells an item's class."""
    if "encoded" not in outputs:
        return {}
    train, test = outputs["encoded"]
    scores: dict[str, Any] = {}
    if "posterior_means" in outputs:
        scores["codes"] = outputs["posterior_means"].numpy()
    if _can_probe(outputs["encoded"]):
        scores["probe_accuracy"] = probe(train.z, train.label, test.z, test.label)
    return add_groups(scores, context.split, test.index)


def probe_raw_values(outputs: Outputs, context: EvalContext) -> dict[str, Scores]:
    """Return the "probe_accuracy" of a linear classifier of the raw values instead of the codes."""
    if "encoded" not in outputs or not _can_probe(outputs["encoded"]):
        return {}
    train, test = outputs["encoded"]

    def compute() -> Scores:
        return {"probe_accuracy": probe(train.x.flatten(1), train.label, test.x.flatten(1), test.label)}

    hits = context.cached("probe of the raw values", compute)
    return {"the raw values": add_groups(hits, context.split, test.index)}


def probe(z: Tensor, label: Tensor, other: Tensor, truth: Tensor) -> Array:
    """(n,) 1.0 where multinomial logistic regression on z (N, K) with their labels is right about another item."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=ROUNDS))
    with warnings.catch_warnings():  # raw pixels may take more rounds: stopping early is a regulariser
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(_project(z), label.numpy())
    return np.asarray(classifier.predict(_project(other)) == truth.numpy(), np.float64)


def _project(z: Tensor) -> Any:
    import torch

    if z.shape[1] > WIDE:
        draw = torch.Generator().manual_seed(derive_seed("narrow", z.shape[1]))
        z = z.float() @ torch.randn(z.shape[1], NARROW, generator=draw)  # (N, NARROW)
    return np.asarray(z.float().numpy())  # twice as quick as float64, for the same items


def plot_codes(outputs: Outputs, context: EvalContext) -> dict[str, Draw]:
    """A map of the codes, and strips from one item to another."""
    if "encoded" not in outputs:
        return {}
    test, levels = outputs["encoded"][1], context.split.spec.levels
    draws: dict[str, Draw] = {"codes": partial(_draw_map, z=test.z.double().numpy(), label=test.label)}
    if "interpolation" in outputs:
        images = outputs["interpolation"].numpy()
        draws["interpolation"] = partial(plots.write_grid, images=images, levels=levels, columns=STEPS + 2)
    return draws


def _draw_map(path: Path, z: Array, label: Tensor | None) -> None:
    """The codes' first two principal components, coloured by class."""
    from sklearn.decomposition import PCA

    if min(z.shape) < 2:
        return
    pca = PCA(2, svd_solver="randomized", random_state=0).fit(z)
    shares = pca.explained_variance_ratio_
    names = [f"component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares)]
    plots.plot_scatter(path, pca.transform(z), None if label is None else label.numpy(), names)


def choose_codes(model: Any, context: EvalContext) -> Outputs:
    """ "discrete_codes": level -> (n, cells) int64 of test items; "discrete_index" (n,)."""
    import torch

    from genfoundry.data.iterate import EVAL_BATCH, iter_batches, sample_indices

    index = sample_indices(context.split, min(TEST, len(context.split)))
    parts = iter_batches(context.split, index, EVAL_BATCH)
    grids = [{level: x.cpu() for level, x in model.codes(batch.to(model.device)).items()} for batch in parts]
    return {
        "discrete_codes": {level: torch.cat([grid[level] for grid in grids]) for level in grids[0]},
        "discrete_index": index,
    }


def count_codes(outputs: Outputs, context: EvalContext) -> Scores:
    """`use_<level>` (n, K): how often a test item chooses each discrete code."""
    import torch

    counts = {}
    for level, x in outputs.get("discrete_codes", {}).items():
        use = torch.zeros(len(x), int(x.max()) + 1, dtype=torch.float64)
        counts[f"use_{level}"] = use.scatter_add_(1, x, torch.ones_like(x, dtype=torch.float64)).numpy()
    return add_groups(counts, context.split, outputs["discrete_index"]) if counts else {}


def count_active(scores: Scores, dims: int) -> dict[str, Estimate]:
    """ "active_units"."""
    return {"active_units": active_units(*with_ids(scores, "codes"))}


def active_units(codes: Array, ids: Ids | None = None) -> Estimate:
    """Estimate the number of active units: columns of codes (N, K) whose variance is above `ACTIVE`."""

    def count(sums: Array) -> Array:
        n, first, second = sums[:, :1], *np.split(sums[:, 1:], 2, axis=1)  # (R, 1), (R, K), (R, K)
        variance = second / n - np.square(first / n)
        return np.asarray((variance > ACTIVE).sum(1), np.float64)

    # Centred, since the variance is a difference of squares
    centred = codes - codes.mean(0)
    return bootstrap_sums(
        "active_units", count, np.hstack([np.ones((len(codes), 1)), centred, np.square(centred)]), ids
    )


def perplexity(use: Array) -> Array:
    """Map counts (..., K) to the perplexity (...) of the codes: the exponential of their entropy in nats.

    1 of a collapsed codebook, K of one in even use (van den Oord et al. 2017, arXiv:1711.00937).
    """
    share = use / use.sum(-1, keepdims=True)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(-1)  # 0 log 0 = 0
    return np.asarray(np.exp(entropy))


def _perplexity(scores: Scores, dims: int, *, level: str) -> dict[str, Estimate]:
    use, ids = with_ids(scores, f"use_{level}")
    return {PERPLEXITY[level]: bootstrap_sums(PERPLEXITY[level], perplexity, use, ids)}


def _explain_units(model: Any, judge: Any) -> str:
    return "no codes whose mean costs nats" if hasattr(model, "embed") else "gives no codes"


def _explain_probe(model: Any, judge: Any) -> str:
    return "no labels, or too few" if hasattr(model, "embed") else "gives no codes"


_CODES: dict[str, Any] = {
    "direction": "maximize",
    "group": "codes",
    "modalities": ALL,
    "column": False,
    "test_only": True,
}
_ENCODED = {**_CODES, "predict": encode, "score": score_codes, "beside": probe_raw_values, "plots": plot_codes}
DISCRETE = Requirement("perplexity", ("Quantises",), lambda model, judge: "no discrete codes at this level")
METRICS = (
    Metric(
        name="active_units",
        title="active units",
        unit="codes",
        description=f"codes whose mean varies over test by more than {ACTIVE}",
        requires=Requirement("active units", ("Embeds", "Infers"), _explain_units),
        inputs=("codes",),
        statistics=count_active,
        **_ENCODED,
    ),
    *(
        Metric(
            name=name,
            title=name.replace("_", " "),
            unit="codes",
            description=f"exp of the entropy of the {level.replace('codes', 'discrete codes')} that test items choose",
            requires=DISCRETE,
            inputs=(f"use_{level}",),
            predict=choose_codes,
            score=count_codes,
            statistics=partial(_perplexity, level=level),
            **_CODES,
        )
        for level, name in PERPLEXITY.items()
    ),
    Metric(
        name="probe_accuracy",
        title="linear probe",
        unit="share",
        description="test items whose class a linear classifier reads off the codes",
        requires=Requirement("linear probe", ("Embeds", "labels"), _explain_probe),
        inputs=("probe_accuracy",),
        **_ENCODED,
    ),
)
