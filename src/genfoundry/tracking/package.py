"""MLflow model folder of a trained model: weights, model.json and the code that reads them; no pickle.

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
NAME = re.compile(r"\bgenfoundry(?=\.[a-z]|[ \t]+import\b)|(?<=\bimport )genfoundry\b")
"""The package's name where a module is named: in imports, and in what `import_module` is given."""


def save_mlflow_model(weights: Path, out: Path, lock: Path, metadata: dict[str, Any]) -> None:
    """Write the MLflow model of the weights in a folder to `out`: signature, example, pinned requirements, code.

    The weights of a model that is not generative are copied as they are, for `checkpoint.load`.
    """
    import mlflow.pyfunc

    try:
        predictor = Predictor(weights)
    except NotGenerative:  # a classifier, say: a request has nothing to ask of it
        shutil.copytree(weights, out)
        return
    with tempfile.TemporaryDirectory() as scratch:
        code = copy_code(CODE, Path(scratch))
        shutil.copytree(weights, Path(scratch, "model"))
        mlflow.pyfunc.save_model(
            out,
            loader_module=f"{code.name}.tracking.pyfunc",
            data_path=str(Path(scratch, "model")),
            # Without it MLflow would need this project installed, in the version that trained the model.
            code_paths=[str(code)],
            signature=build_signature(),
            input_example=build_example(predictor),
            pip_requirements=pin_requirements(lock),
            metadata={**metadata, "columns": describe_columns(predictor)},
        )


def copy_code(source: Path, to: Path) -> Path:
    """Copy the package in `source` into the folder `to`, named by what it holds; returns the copy."""
    # Bytecode differs from machine to machine, and the copy's name would with it.
    files = sorted(path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(source).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    copy = to / f"genfoundry_{digest.hexdigest()[:12]}"
    for path in files:
        target = copy / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".py":
            # Its imports must name the copy, or the installed package would answer them.
            target.write_text(NAME.sub(copy.name, path.read_text(encoding="utf-8")), encoding="utf-8")
        else:
            shutil.copyfile(path, target)
    return copy


def pin_requirements(lock: Path) -> list[str]:
    """name==version of what the model needs, from requirements.lock, else as installed (without torch's +cpu)."""
    lines = lock.read_text(encoding="utf-8").splitlines() if lock.exists() else []
    # The local part of a version (+cpu) is cut off: no public index has 2.13.0+cpu.
    pinned = {m[1].lower(): m[2] for line in lines if (m := re.match(r"([A-Za-z0-9._-]+)==([^\s;+]+)", line))}
    return [f"{name}=={pinned.get(name) or importlib.metadata.version(name).split('+')[0]}" for name in NEEDS]


def build_signature() -> Any:
    """Signature: the parameters and their defaults. `request` checks columns: MLflow's messages name no field."""
    from mlflow.models import ModelSignature
    from mlflow.types import DataType, ParamSchema, ParamSpec

    kinds = {int: DataType.long, float: DataType.double}
    return ModelSignature(params=ParamSchema([ParamSpec(k, kinds[type(v)], v) for k, v in DEFAULTS.items()]))


def describe_columns(predictor: Predictor) -> dict[str, str]:
    """Describe the columns of a request, for people who look at the model in MLflow."""

    def describe(levels: int | None, shape: tuple[int, ...]) -> str:
        return f"{'numbers' if levels is None else f'whole numbers below {levels}'} of shape {shape}"

    spec = predictor.spec
    described = {"n": "a whole number", "prompt": "a text", "text": "a text", "x": describe(spec.levels, spec.shape)}
    if spec.cond_shape is not None:
        described["past"] = describe(spec.cond_levels, spec.cond_shape)
    return {name: described[name] for name in COLUMNS[predictor.modality] if name in described}


def build_example(predictor: Predictor) -> Any:
    """A request for two samples."""
    import pandas as pd

    row: dict[str, Any] = {"n": 2}
    if predictor.alphabet:
        # Any character will do, but a pair's source must have one.
        row["prompt"] = predictor.alphabet[-1]
    if predictor.spec.cond_shape is not None and "past" in COLUMNS[predictor.modality]:
        dtype = np.float64 if predictor.spec.cond_levels is None else int
        row["past"] = np.zeros(predictor.spec.cond_shape, dtype).tolist()
    return pd.DataFrame([row])
