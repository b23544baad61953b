"""Probes, active units and lines between codes, on codes made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from PIL import Image
from torch import Tensor

from genfoundry import models
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.context import EvalContext
from genfoundry.evaluation.metrics import latents
from genfoundry.evaluation.scores import Outputs
from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.types import Batch


class Copies(GenerativeModel):
    """Codes are the values themselves."""

    likelihood = "none"

    def embed(self, batch: Batch) -> Tensor:
        return batch.x.flatten(1).float() / 16

    def prior(self, n: int) -> Tensor:
        return torch.rand(n, 64)

    def decode(self, z: Tensor) -> Tensor:
        return (16 * z).view(-1, 1, 8, 8)


class Blind(Copies):
    """Codes of the noise alone."""

    def embed(self, batch: Batch) -> Tensor:
        return batch.x[:, 0, 3:].flatten(1).float()

    def decode(self, z: Tensor) -> Tensor:
        return torch.zeros(len(z), 1, 8, 8)


def encode(model: GenerativeModel, context: EvalContext) -> Outputs:
    outputs = latents.encode(model, context)
    assert outputs
    return outputs


def test_a_line_reads_the_class_off_codes_that_hold_it_and_no_others() -> None:
    found = {}
    for kind in (Copies, Blind):
        context = toys.context()
        outputs = encode(kind(toys.SPEC, Hyper()), context)
        beside = latents.probe_raw_values(outputs, context)
        assert np.mean(beside["the raw values"]["probe_accuracy"]) > 0.99
        found[kind] = aggregate(latents.score_codes(outputs, context), 64, "images")["probe_accuracy"]
    assert found[Copies] > 0.99
    assert 0.2 < found[Blind] < 0.47  # chance, three standard errors around


def test_without_labels_there_is_a_map_and_no_probe(tmp_path: Path) -> None:
    context = toys.context()
    context.split.label.fill_(-1)  # type: ignore[attr-defined]
    outputs = encode(Copies(toys.SPEC, Hyper()), context)
    assert latents.score_codes(outputs, context) == latents.probe_raw_values(outputs, context) == {}
    for name in ("a.png", "b.png"):
        latents.plot_codes(outputs, context)["codes"](tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert Image.open(tmp_path / "a.png").width > 300


def test_perplexity_counts_codes_in_even_use() -> None:
    even = np.tile(np.eye(4)[:, None] * 3, (1, 2, 1)).reshape(8, 4)
    assert aggregate({"use_codes": even}, 64, "images")["perplexity"] == pytest.approx(4)
    assert aggregate({"use_top": np.eye(4)[[1] * 8]}, 64, "images")["perplexity_top"] == pytest.approx(1)
    uneven = np.array([[3.0, 1.0]])
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    found = aggregate({"use_bottom": uneven}, 64, "images")["perplexity_bottom"]
    assert found == pytest.approx(np.exp(entropy))


def test_active_units_are_those_that_vary() -> None:
    rng = np.random.default_rng(0)
    scales = np.sqrt([1.0, 0.05, 0.02, 0.005, 0.0])
    z = 3 + scales * rng.normal(size=(1000, 5))
    found = latents.active_units(z)
    assert (found.value, found.low, found.high) == (3, 3, 3)
    assert aggregate({"codes": z}, 64, "images")["active_units"] == 3


class Inferring(Copies):
    """Of the 64 values that it embeds, three have a posterior."""

    def posterior_means(self, batch: Batch) -> Tensor:
        return self.embed(batch)[:, :3]


def test_only_codes_with_a_posterior_are_counted() -> None:
    for kind, count in ((Copies, None), (Inferring, 3)):
        context = toys.context()
        own = latents.score_codes(encode(kind(toys.SPEC, Hyper()), context), context)
        assert own["codes"].shape == (300, count) if count else "codes" not in own


@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_classes_are_no_units_of_a_model_that_embeds_them(net: str) -> None:
    kind = models.find("ss_vae")
    torch.manual_seed(0)
    model = kind(toys.SPEC, kind.Config.model_validate({"latent": 5, "net": net})).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(4)  # every style and every class varies
    context = toys.context()
    with torch.no_grad():
        outputs = encode(model, context)
    scores = latents.score_codes(outputs, context)
    assert outputs["encoded"][1].z.shape[1] == 5 + 3, "the probe reads both"
    assert aggregate({"codes": scores["codes"]}, 64, "images")["active_units"] <= 5


def test_a_strip_s_ends_are_the_reconstructions_of_two_items() -> None:
    model = Copies(toys.SPEC, Hyper())
    strips = encode(model, toys.context())["interpolation"].view(latents.STRIPS, 2 + latents.STEPS, 1, 8, 8)
    for item, end in ((strips[:, 0], strips[:, 1]), (strips[:, -1], strips[:, -2])):
        torch.testing.assert_close(end, model.decode(model.embed(Batch(item))))
    middle = strips[:, 1:-1].diff(dim=1)
    torch.testing.assert_close(middle, middle[:, :1].expand_as(middle))  # even steps
    assert not torch.equal(strips[:, 0], strips[:, -1])


def test_codes_that_are_not_finite_are_none() -> None:
    class Broken(Copies):
        def embed(self, batch: Batch) -> Tensor:
            return torch.full((len(batch), 2), torch.nan)

    assert latents.encode_splits(Broken(toys.SPEC, Hyper()), toys.context()) is None
    assert latents.encode(Broken(toys.SPEC, Hyper()), toys.context()) == {}


def test_many_values_are_read_through_a_projection() -> None:
    draw = torch.Generator().manual_seed(0)
    label = torch.arange(600) % 3
    z = torch.randn(600, 3000, generator=draw)
    z[:, :500] += 2 * label[:, None]
    assert latents.probe(z[:400], label[:400], z[400:], label[400:]).mean() > 0.95
    assert latents.probe(z[:400, 500:], label[:400], z[400:, 500:], label[400:]).mean() < 0.5
