"""A trained model as an MLflow model folder: weights, model.json and the code that reads them; no pickle."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from genfoundry import pyfunc
from genfoundry.pyfunc import COLUMNS
from genfoundry.served import Served, Unserved

CODE = Path(__file__).parent
NEEDS = ("numpy", "pandas", "pydantic", "safetensors", "torch")
"""What `pyfunc` imports; MLflow adds itself."""


def package(weights: Path, out: Path, lock: Path, metadata: dict[str, Any]) -> None:
    """Write the MLflow model of the weights in a folder to `out`: signature, example, pinned requirements, code.

    What draws no samples answers no requests: its weights are written as they are, for `checkpoint.load`.
    """
    import mlflow.pyfunc

    try:
        served = Served(weights)
    except Unserved:
        shutil.copytree(weights, out)
        return
    mlflow.pyfunc.save_model(
        out,
        python_model=str(pyfunc.__file__),
        artifacts={"model": str(weights)},
        code_paths=[str(CODE)],
        signature=signature(served),
        input_example=example(served),
        pip_requirements=requirements(lock),
        metadata=metadata,
    )


def requirements(lock: Path) -> list[str]:
    """name==version of what the model needs, from requirements.lock, else as installed (without torch's +cpu)."""
    lines = lock.read_text(encoding="utf-8").splitlines() if lock.exists() else []
    pinned = {m[1].lower(): m[2] for line in lines if (m := re.match(r"([A-Za-z0-9._-]+)==([^\s;+]+)", line))}
    return [f"{name}=={pinned.get(name) or importlib.metadata.version(name).split('+')[0]}" for name in NEEDS]


def signature(served: Served) -> Any:
    """Optional columns a modality, parameters with defaults, and no fixed outputs: samples and scores differ."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    def nested(levels: int | None, shape: tuple[int, ...]) -> Any:
        found: Any = DataType.double if levels is None else DataType.long
        for _ in shape:
            found = Array(found)
        return found

    spec = served.spec
    types = {"n": DataType.long, "prompt": DataType.string, "text": DataType.string}
    types |= {"x": nested(spec.levels, spec.shape), "past": nested(spec.cond_levels, spec.cond_shape or spec.shape)}
    columns = [ColSpec(types[name], name, required=False) for name in COLUMNS[served.modality]]
    defaults = {"label": -1, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "length": 0, "seed": 0}
    kinds = {int: DataType.long, float: DataType.double}
    params = [ParamSpec(name, kinds[type(value)], value) for name, value in defaults.items()]
    return ModelSignature(inputs=Schema(columns), params=ParamSchema(params))


def example(served: Served) -> Any:
    """A request for two samples."""
    import pandas as pd

    row: dict[str, Any] = {"n": 2}
    if served.alphabet:
        row["prompt"] = served.alphabet[-1]
    if served.spec.cond_shape is not None and "past" in COLUMNS[served.modality]:
        row["past"] = np.zeros(served.spec.cond_shape, np.float64 if served.spec.cond_levels is None else int).tolist()
    return pd.DataFrame([row])
