"""Every model of images goes through the examination; what it is asked follows from its abilities."""

from __future__ import annotations

import pytest
import torch
import toys

from genfoundry import examine, models, yardstick
from genfoundry.config import Bound
from genfoundry.evaluate import answers
from genfoundry.models.base import Decodes, Embeds, GenerativeModel, Reconstructs, Tightens

IMAGES = [name for name in models.names() if "images" in models.find(name).modalities]


@pytest.mark.parametrize("name", IMAGES)
def test_a_model_has_the_figures_of_its_abilities_and_no_others(name: str) -> None:
    kind = models.find(name)
    torch.manual_seed(0)
    model = kind(toys.SPEC, kind.Config()).eval()
    bench = toys.bench(bound=Bound(k=2, items=20))
    bench.found = answers(model, bench.split, samples=20, seed=0)
    own, _ = examine.abilities(model, bench, 0, 20)
    found = yardstick.figures({**{k: v.numpy() for k, v in bench.found.items() if k != "samples"}, **own}, 64, "images")
    asked = {
        "reconstruct_psnr": isinstance(model, Reconstructs),
        "bits_per_dim_iw": isinstance(model, Tightens),
        "active_units": isinstance(model, Embeds) and isinstance(model, Decodes) and "rate" in bench.found,
        "auroc_shuffled": isinstance(model, GenerativeModel) and model.likelihood != "none",
        "probe_accuracy": isinstance(model, Embeds),
    }
    assert {name: name in found for name in asked} == asked
    assert ("codes" in bench.drawings) == isinstance(model, Embeds)
    assert ("interpolation" in bench.pictures) == (isinstance(model, Embeds) and isinstance(model, Decodes))
