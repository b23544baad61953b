"""A trained model as an MLflow model folder: weights, model.json and the code that reads them; no pickle.

The code goes by a name of its own, `genfoundry_<digest>`, so that two versions in one process run each its own.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from genfoundry.serving.predictor import NotGenerative, Predictor
from genfoundry.serving.request import COLUMNS, DEFAULTS

CODE = Path(__file__).parents[1]
NEEDS = ("numpy", "pandas", "pydantic", "safetensors", "torch")
"""What `pyfunc` imports; MLflow adds itself."""
OWN = re.compile(r"\bgenfoundry(?=\.[a-z]|[ \t]+import\b)|(?<=\bimport )genfoundry\b")
"""The package's name where a module is named: in imports, and in what `import_module` is given."""


def save_mlflow_model(weights: Path, out: Path, lock: Path, metadata: dict[str, Any]) -> None:
    """Write the MLflow model of the weights in a folder to `out`: signature, example, pinned requirements, code.

    What draws no samples answers no requests: its weights are written as they are, for `checkpoint.load`.
    """
    import mlflow.pyfunc

    try:
        served = Predictor(weights)
    except NotGenerative:
        shutil.copytree(weights, out)
        return
    with tempfile.TemporaryDirectory() as scratch:
        code = copy_code(CODE, Path(scratch))
        shutil.copytree(weights, Path(scratch, "model"))
        mlflow.pyfunc.save_model(
            out,
            loader_module=f"{code.name}.tracking.pyfunc",
            data_path=str(Path(scratch, "model")),
            code_paths=[str(code)],
            signature=build_signature(),
            input_example=build_example(served),
            pip_requirements=pin_requirements(lock),
            metadata={**metadata, "columns": describe_columns(served)},
        )


def copy_code(source: Path, to: Path) -> Path:
    """Copy the package in `source` into the folder `to`, named by what it holds; returns the copy."""
    files = sorted(path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(source).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    copy = to / f"genfoundry_{digest.hexdigest()[:12]}"
    for path in files:
        place = copy / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".py":
            place.write_text(OWN.sub(copy.name, path.read_text(encoding="utf-8")), encoding="utf-8")
        else:
            shutil.copyfile(path, place)
    return copy


def pin_requirements(lock: Path) -> list[str]:
    """name==version of what the model needs, from requirements.lock, else as installed (without torch's +cpu)."""
    lines = lock.read_text(encoding="utf-8").splitlines() if lock.exists() else []
    pinned = {m[1].lower(): m[2] for line in lines if (m := re.match(r"([A-Za-z0-9._-]+)==([^\s;+]+)", line))}
    return [f"{name}=={pinned.get(name) or importlib.metadata.version(name).split('+')[0]}" for name in NEEDS]


def build_signature() -> Any:
    """The parameters with their defaults. Columns are checked by `request`: MLflow's own check names no field."""
    from mlflow.models import ModelSignature
    from mlflow.types import DataType, ParamSchema, ParamSpec

    kinds = {int: DataType.long, float: DataType.double}
    return ModelSignature(params=ParamSchema([ParamSpec(k, kinds[type(v)], v) for k, v in DEFAULTS.items()]))


def describe_columns(served: Predictor) -> dict[str, str]:
    """What the columns of a request hold, for people who look at the model in MLflow."""

    def describe(levels: int | None, shape: tuple[int, ...]) -> str:
        return f"{'numbers' if levels is None else f'whole numbers below {levels}'} of shape {shape}"

    spec = served.spec
    held = {"n": "a whole number", "prompt": "a text", "text": "a text", "x": describe(spec.levels, spec.shape)}
    if spec.cond_shape is not None:
        held["past"] = describe(spec.cond_levels, spec.cond_shape)
    return {name: held[name] for name in COLUMNS[served.modality] if name in held}


def build_example(served: Predictor) -> Any:
    """A request for two samples."""
    import pandas as pd

    row: dict[str, Any] = {"n": 2}
    if served.alphabet:
        row["prompt"] = served.alphabet[-1]
    if served.spec.cond_shape is not None and "past" in COLUMNS[served.modality]:
        row["past"] = np.zeros(served.spec.cond_shape, np.float64 if served.spec.cond_levels is None else int).tolist()
    return pd.DataFrame([row])
