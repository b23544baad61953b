"""The A/A case: a model trained again with another seed is not better, however many times one looks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from genfoundry import config
from genfoundry.config import Train, check
from genfoundry.data import dataset, loaders, preparation
from genfoundry.data.fetch import catalog
from genfoundry.evaluation.aggregate import improvement
from genfoundry.evaluation.context import SplitContext
from genfoundry.evaluation.objectives import find_objective
from genfoundry.evaluation.predict import predict
from genfoundry.models.vae import Vae
from genfoundry.seeding import derive_seed
from genfoundry.training.loop import fit

MODELS, STEPS, COMPARED = 15, 60, 200


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> dataset.Dataset:
    folder, entry = tmp_path_factory.mktemp("digits"), config.Dataset(modality="images", raw="digits", levels=17)
    catalog.fetch(entry, folder / "raw", downloads=folder / "downloads")
    (folder / "inbox").mkdir()
    preparation.prepare(folder / "raw", folder / "inbox", folder / "prepared", entry, 20)
    return dataset.Dataset(folder / "prepared")


def nats(digits: dataset.Dataset, seed: int) -> dict[str, np.ndarray]:
    """Split -> (N,) nats of a small model trained with this seed."""
    split = digits.split("train")
    torch.manual_seed(derive_seed(seed, "init"))
    model = Vae(split.spec, Vae.Config(detail=0))
    train = check(Train, {**model.defaults, "batch": 32, "steps": {"fit": STEPS}}, "test")
    list(fit(model, loaders.Loader(split, 32, (seed,)), train, key=(seed,)))
    nats = {}
    for name in ("val", "gate"):
        nats[name] = predict(model, SplitContext(split=digits.split(name), samples=2, seed=0))["nll"].numpy()
    return nats


def test_the_same_model_again_is_seldom_called_better(digits: dataset.Dataset) -> None:
    unit, dims = find_objective("bits_per_dim"), digits.spec.dims
    models = [{k: {"nll": v} for k, v in nats(digits, seed).items()} for seed in range(MODELS)]
    spread = float(np.std([unit.value(model_nats["val"], dims) for model_nats in models], ddof=1))
    pairs = list(itertools.permutations(range(MODELS), 2))[:COMPARED]
    lows = [improvement(models[a]["gate"], models[b]["gate"], unit, dims).low for a, b in pairs]
    assert len(lows) == COMPARED
    assert sum(low > 2 * spread for low in lows) <= 16
    assert sum(low > 0 for low in lows) > 16  # the bootstrap alone, which knows nothing of seeds, is not enough
