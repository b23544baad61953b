"""Feasibility of an experiment's settings for its data: its model is built, also at the bounds of its search.

What is not known before the data are prepared (the size of images, the number of rows) is checked where they are.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from genfoundry import config, paths
from genfoundry.data import cgroup
from genfoundry.errors import UserError
from genfoundry.files import read_json
from genfoundry.types import Spec

if TYPE_CHECKING:
    from genfoundry.models.base import Learner
    from genfoundry.training.experiment import Experiment

LARGE = 50_000  # a setting from which weights may be more than memory holds
MOST = 64  # combinations of bounds that are tried; of more only each bound by itself


def find_faults(experiment: Experiment, spec: Spec, rows: int | None = None) -> Iterator[str]:
    """Yield a line for each setting that the data do not allow: the entry's, a bound of its search, bounds together.

    Args:
        experiment: the experiment, before tuning.
        spec: of the data.
        rows: of train, where that is known.
    """
    where, space = f"params.yaml: experiments.{experiment.name}", experiment.entry.search
    if why := _find_refusal(experiment, spec, rows):
        yield f"{where}: {why}"
        return
    searched = [key for key in space if key.startswith("hyper.")]  # no other key changes the model
    single = [{key: bound} for key in searched for bound in space[key].bounds()]
    refused = False
    for setting in single:
        if why := _find_refusal(experiment.with_settings(setting), spec, rows):
            refused = True
            ((key, bound),) = setting.items()
            yield f"{where}.search.{key}: {bound!r}: {why}"
    # One more than MOST shows that there are more, without making them all.
    combined = list(itertools.islice(itertools.product(*(space[key].bounds() for key in searched)), MOST + 1))
    # A bound that is refused by itself would be refused in each combination, too.
    if len(searched) < 2 or len(combined) > MOST or refused:
        return
    for bounds in combined:
        setting = dict(zip(searched, bounds, strict=True))
        if why := _find_refusal(experiment.with_settings(setting), spec, rows):
            shown = ", ".join(f"{key}: {bound!r}" for key, bound in setting.items())
            yield f"{where}.search: {shown} together: {why}"
            return


def _find_refusal(experiment: Experiment, spec: Spec, rows: int | None) -> str:
    """Return why the data do not allow it; "" if they do."""
    try:
        model = _build(experiment, spec)
        if rows is not None:
            model.check_rows(rows)
    except UserError as error:
        return str(error)
    needed = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    memory = cgroup.memory()
    return f"weights of {needed / 1e9:.0f} GB; this machine has {memory / 1e9:.0f} GB" if needed > memory else ""


def _build(experiment: Experiment, spec: Spec) -> Learner:
    """Build the model; a large one without memory for its weights, unless it computes with some of them at once."""
    import torch

    sizes = [value for value in experiment.hyper.model_dump().values() if isinstance(value, int)]
    with torch.random.fork_rng(devices=[]):
        if max(sizes, default=0) >= LARGE:  # the meta device takes seconds to import
            with contextlib.suppress(RuntimeError, NotImplementedError), torch.device("meta"):
                return experiment.kind(spec, experiment.hyper)
        try:
            return experiment.kind(spec, experiment.hyper)
        except RuntimeError as error:
            if "memory" not in str(error):
                raise
            raise UserError("its weights need more memory than there is") from None


def predict_spec(experiment: Experiment, dataset: config.Dataset) -> Spec | None:
    """Predict the spec of an experiment's data; None where only the prepared data could tell."""
    if dataset.modality in ("text", "lines"):
        return Spec((dataset.window,), len(dataset.alphabet))
    if dataset.modality == "pairs":
        levels = len(dataset.alphabet) + 1
        return Spec((dataset.window,), levels, cond_shape=(dataset.context,), cond_levels=levels)
    prepared = _read_spec(experiment.entry.dataset, dataset)
    if dataset.modality == "series":
        columns = len(dataset.columns) or (prepared.shape[-1] if prepared else 1)
        past = (dataset.context, columns + dataset.numbered) if dataset.context else None
        return Spec((dataset.window, columns), None, cond_shape=past)
    if prepared is None or dataset.modality != "images":
        return prepared
    return replace(prepared, levels=experiment.task.levels or prepared.levels)


def _read_spec(name: str, dataset: config.Dataset) -> Spec | None:
    """Read the spec of the prepared data, if they are there and of the declared kind and size."""
    path = paths.prepared(name) / "spec.json"
    try:
        meta = read_json(path) if path.exists() else {}
        spec = Spec.from_json(meta["spec"])
    except (UserError, KeyError, TypeError):
        return None
    # An edited size holds from the next preparation on: until then the file tells of other images.
    sized = dataset.size is None or spec.shape[-2:] == tuple(dataset.size)
    return spec if meta.get("modality") == dataset.modality and sized else None


def count_rows(experiment: Experiment, dataset: config.Dataset) -> int | None:
    """Count the rows of train of a prepared series; None where that is not known."""
    path = paths.prepared(experiment.entry.dataset) / "train.safetensors"
    if dataset.modality != "series" or _read_spec(experiment.entry.dataset, dataset) is None or not path.exists():
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            # The shape stands in the file's header; the rows themselves are not read.
            return int(file.get_slice("x").get_shape()[0])
    except (SafetensorError, OSError):
        return None
