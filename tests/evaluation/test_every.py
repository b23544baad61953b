"""Every model of images goes through the examination; what it is asked follows from its abilities."""

from __future__ import annotations

import pytest
import torch
import toys

from genfoundry import models
from genfoundry.config import Bound
from genfoundry.data.splits.lines import LineSplit
from genfoundry.evaluation import context, yardstick
from genfoundry.evaluation.predict import answers
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
    bench = toys.bench(bound=Bound(k=2, items=20))
    bench.found = answers(model, bench.split, samples=20, seed=0)
    own, _ = context.abilities(model, bench, 0, 20)
    found = yardstick.figures({**{k: v.numpy() for k, v in bench.found.items() if k != "samples"}, **own}, 64, "images")
    asked = {
        "reconstruct_psnr": isinstance(model, Reconstructs),
        "bits_per_dim_iw": isinstance(model, Tightens),
        "active_units": isinstance(model, Infers),
        "perplexity": isinstance(model, Quantises) and "codes" in model.codes(bench.split.eval_batch(torch.arange(2))),
        "perplexity_top": isinstance(model, Quantises)
        and "top" in model.codes(bench.split.eval_batch(torch.arange(2))),
        "auroc_shuffled": isinstance(model, GenerativeModel) and model.likelihood != "none",
        "probe_accuracy": isinstance(model, Embeds),
        "complete_psnr": isinstance(model, Completes),
        "complete_nats": isinstance(model, Completes) and isinstance(model, Autoregressive),
    }
    assert {name: name in found for name in asked} == asked
    assert ("codes" in bench.drawings) == isinstance(model, Embeds)
    assert ("interpolation" in bench.pictures) == (isinstance(model, Embeds) and isinstance(model, Decodes))


def test_lines_have_a_bound_active_units_and_a_map() -> None:
    kind, spec = models.find("text_vae"), Spec((12,), 20)
    draw = torch.Generator().manual_seed(0)
    splits = [LineSplit(name, {"x": torch.randint(20, (60, 12), generator=draw)}, spec) for name in "ab"]
    torch.manual_seed(0)
    model = kind(spec, kind.Config()).eval()
    bench = context.Bench(None, *splits, None, answers(model, splits[1], samples=0, seed=0), Bound(k=2, items=20))  # type: ignore[arg-type]
    own, _ = context.abilities(model, bench, 0, 20)
    assert set(own) == {"bound_gap", "codes"}
    found = yardstick.figures({**{k: v.numpy() for k, v in bench.found.items()}, **own}, 12, "lines")
    assert {"nats_per_sample_iw", "active_units", "rate", "distortion"} <= set(found)
    assert set(bench.drawings) == {"codes"} and not bench.pictures
