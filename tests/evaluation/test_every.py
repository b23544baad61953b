"""Every model of images goes through the examination; what it is asked follows from its abilities."""

from __future__ import annotations

import pytest
import torch
import toys

from genfoundry import models
from genfoundry.config import Bound
from genfoundry.data.splits.lines import LineSplit
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.context import EvalContext
from genfoundry.models.abilities import (
    Autoregressive,
    Completes,
    Decodes,
    Embeds,
    Infers,
    Quantises,
    Reconstructs,
    Tightens,
)
from genfoundry.models.base import GenerativeModel
from genfoundry.types import Spec

KINDS = {name: models.find(name) for name in models.names()}
IMAGES = [
    name for name, kind in KINDS.items() if "images" in kind.modalities and not kind.why_unsupported(toys.SPEC.levels)
]


@pytest.mark.parametrize("name", IMAGES)
def test_a_model_has_the_figures_of_its_abilities_and_no_others(name: str) -> None:
    kind = models.find(name)
    torch.manual_seed(0)
    model = kind(toys.SPEC, kind.Config()).eval()
    context = toys.context(bound=Bound(k=2, items=20))
    seen = toys.examine(model, context)
    found = aggregate({**seen.measured, **seen.scores}, 64, "images")
    asked = {
        "reconstruct_psnr": isinstance(model, Reconstructs),
        "bits_per_dim_iw": isinstance(model, Tightens),
        "active_units": isinstance(model, Infers),
        "perplexity": isinstance(model, Quantises)
        and "codes" in model.codes(context.split.eval_batch(torch.arange(2))),
        "perplexity_top": isinstance(model, Quantises)
        and "top" in model.codes(context.split.eval_batch(torch.arange(2))),
        "auroc_shuffled": isinstance(model, GenerativeModel) and model.likelihood != "none",
        "probe_accuracy": isinstance(model, Embeds),
        "complete_psnr": isinstance(model, Completes),
        "complete_nats": isinstance(model, Completes) and isinstance(model, Autoregressive),
    }
    assert {name: name in found for name in asked} == asked
    assert ("codes" in seen.plots) == isinstance(model, Embeds)
    assert ("interpolation" in seen.plots) == (isinstance(model, Embeds) and isinstance(model, Decodes))


def test_lines_have_a_bound_active_units_and_a_map() -> None:
    kind, spec = models.find("text_vae"), Spec((12,), 20)
    draw = torch.Generator().manual_seed(0)
    splits = [LineSplit(name, {"x": torch.randint(20, (60, 12), generator=draw)}, spec) for name in "ab"]
    torch.manual_seed(0)
    model = kind(spec, kind.Config()).eval()
    context = EvalContext(dataset=None, train=splits[0], split=splits[1], bound=Bound(k=2, items=20))  # type: ignore[arg-type]
    seen = toys.examine(model, context, "lines")
    assert set(seen.scores) == {"bound_gap", "codes"}
    found = aggregate({**seen.measured, **seen.scores}, 12, "lines")
    assert {"nats_per_sample_iw", "active_units", "rate", "distortion"} <= set(found)
    assert set(seen.plots) == {"codes"}
