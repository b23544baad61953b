"""The public interface from Python: load, fit, save and evaluate a model, without DVC or MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from genfoundry import config, models
from genfoundry.data.dataset import Dataset
from genfoundry.data.in_memory import InMemorySplit, infer_spec
from genfoundry.data.loaders import Loader
from genfoundry.errors import UserError
from genfoundry.evaluation import judge as evaluation_judge
from genfoundry.evaluation.aggregate import estimate_objectives
from genfoundry.evaluation.context import SplitContext
from genfoundry.evaluation.predict import predict, score
from genfoundry.models import checkpoint
from genfoundry.models.base import Learner
from genfoundry.seeding import derive_seed
from genfoundry.selection import weight_store
from genfoundry.training.device import find_device
from genfoundry.training.trainer import Trainer
from genfoundry.types import Batch

if TYPE_CHECKING:
    from genfoundry.evaluation.bootstrap import Estimate
    from genfoundry.splits import Split

Data: TypeAlias = "Path | str | Dataset | Split | Batch | Tensor"
MODALITIES = {1: "text", 2: "series", 3: "images", 4: "video"}  # number of dimensions of a sample -> modality


def load(
    source: Path | str, *, model: type[Learner] | None = None, root: Path | str = ".", device: str = "cpu"
) -> Learner:
    """Load a model, in evaluation mode.

    Args:
        source: the model's folder, or "TASK@champion" for the model that serves a task.
        model: the model's class, where it is no file of `genfoundry.models`.
        root: the repository whose ledger names champions.
        device: where the weights go: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        UserError: there is no such model, a file is damaged, or the weights do not fit.
        WeightsLost: the champion's weights are nowhere to be found.
    """
    task, at, alias = str(source).partition("@")
    if at and alias == "champion" and not Path(source).exists():  # a folder's name may have an @
        source = weight_store.find_champion(Path(root), task)[1]
    if not Path(source).exists():
        raise UserError(f"expected a model's folder or TASK@champion, got {str(source)!r}, which does not exist")
    return checkpoint.load(source, find_device(device), model)


def save(model: Learner, folder: Path | str) -> str:
    """Write a model to a folder, as safetensors and JSON; returns its digest.

    Raises:
        UserError: the folder cannot be written.
    """
    return checkpoint.save(Path(folder), model, model.card)


def fit(
    model: str | type[Learner],
    data: Data,
    *,
    steps: int | Mapping[str, int] = 1000,
    batch: int | None = None,
    lr: float | Mapping[str, float] | None = None,
    seed: int = 0,
    levels: int | None = None,
    binarise: str | None = None,
    hyper: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    device: str = "cpu",
    checkpoints: Path | str | None = None,
) -> Learner:
    """Train a model and return it in evaluation mode. Torch's global random generator is seeded by each step.

    Args:
        model: a class, or the name of a file in `genfoundry.models`, such as "vae".
        data: a prepared data set (its folder, such as data/prepared/digits/arrays), a split, a `Batch` of all items, or
            a tensor (N, *shape) of them.
        steps: of every phase, or phase -> steps.
        batch: items in a batch (default: the model's).
        lr: peak learning rate of every player, or player -> rate (default: the model's).
        seed: equal seeds give equal models.
        levels: number of levels of integer tensors; of a prepared data set, the levels that it is quantised to.
        binarise: "dynamic" or "threshold", of a prepared data set of images at two levels.
        hyper: the model's hyperparameters, fields of its `Config`.
        train: further settings, fields of `genfoundry.config.Train`.
        device: where to train: "auto", "cpu", "cuda", "cuda:N" or "mps".
        checkpoints: a folder, from which a training goes on that was killed.

    Raises:
        UserError: a setting is wrong or does not fit the data.
        Diverged: the losses are not finite any more.
    """
    kind = models.find(model) if isinstance(model, str) else model
    target, key = find_device(device), (seed, kind.__name__)
    split, meta = _open(data, "train", levels, binarise, target)
    # A single rate is every player's; a mapping may name some, and the model's defaults stand for the others.
    rates = lr if isinstance(lr, Mapping) else {} if lr is None else dict.fromkeys(kind.defaults["lr"], lr)
    values = {**kind.defaults, **(train or {}), "lr": {**kind.defaults["lr"], **rates}}
    values |= {"steps": dict(steps) if isinstance(steps, Mapping) else dict.fromkeys(kind.phases, steps)}
    values |= {} if batch is None else {"batch": batch}
    settings = config.check(config.Train, values, "train", "fit")
    # Initial weights have a seed of their own: what a constructor draws does not shift batches and noise.
    torch.manual_seed(derive_seed(*key, "init"))
    learner = kind(split.spec, config.check(kind.Config, dict(hyper or {}), "hyper", "fit")).to(target)
    folder = Path(checkpoints) if checkpoints else None
    Trainer(Loader(split, settings.batch, key), settings, key, folder).fit(learner)
    # What `save` writes to model.json: `evaluate` and the predictor read levels, alphabet and modality from it.
    learner.card = {
        "data": {"levels": levels, "binarise": binarise},
        "meta": {key: meta[key] for key in ("modality", "alphabet", "names", "declared") if key in meta},
        "train": settings.model_dump(mode="json"),
        "digests": {"data": meta["digest"]} if "digest" in meta else {},
    }
    return learner


def evaluate(
    model: Learner,
    data: Data,
    split: str = "test",
    *,
    samples: int = 1000,
    seed: int = 0,
    judge: Path | str | None = None,
) -> dict[str, Estimate]:
    """Measure a model by every objective that it can have, with 95% intervals over independent groups of items.

    Args:
        model: that `fit` or `load` returned.
        data: as `fit` takes it; of a prepared data set, at the levels that the model was trained at.
        split: of a prepared data set: train, val, gate or test.
        samples: how many to draw for metrics of samples; no more than there are items.
        seed: of all draws.
        judge: folder of the data set's feature network, without which samples have no Frechet distance.

    Returns:
        Name -> `Estimate` (value, low, high, stderr, n, groups).
    """
    options = model.card.get("data", {})
    # A tensor says nothing of levels: its values are taken for those that the model was built for.
    levels = options.get("levels") or model.spec.levels if isinstance(data, Tensor | Batch) else options.get("levels")
    part, meta = _open(data, split, levels, options.get("binarise"), model.device)
    network = evaluation_judge.load_judge(Path(judge)) if judge else None
    # Metrics of samples compare as many samples with as many real items, and so no more than there are.
    context = SplitContext(split=part, judge=network, samples=min(samples, len(part)), seed=seed)
    return estimate_objectives(score(predict(model, context), context), part.spec.dims, meta["modality"])


def _open(
    data: Data, name: str, levels: int | None, binarise: str | None, device: torch.device
) -> tuple[Split, Mapping[str, Any]]:
    """A split of the data on a device, and metadata of the data set: at least its modality."""
    data = Dataset(Path(data)) if isinstance(data, str | Path) else data
    if isinstance(data, Dataset):
        return data.split(name, levels, binarise, device), data.meta
    if isinstance(data, Tensor | Batch):
        items = (data if isinstance(data, Batch) else Batch(data)).to(device)
        # Integers of any width (pictures are mostly uint8) become int64, by which embeddings are indexed.
        items = items if items.x.is_floating_point() else replace(items, x=items.x.long())
        split: Split = InMemorySplit(items, infer_spec(items, levels), name)
    else:
        split = data
    # A pair is a text with a condition, its source; plain text has none.
    pairs = len(split.spec.shape) == 1 and split.spec.cond_shape is not None
    return split, {"modality": "pairs" if pairs else MODALITIES[len(split.spec.shape)]}
