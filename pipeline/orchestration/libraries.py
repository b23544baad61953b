"""Versions of the numeric libraries: those whose upgrade can change a number or a byte of a stage's output.

Not among them: what reads and checks settings (pydantic, PyYAML), runs stages (DVC), records them (MLflow), or renders
pages that are no output (Jinja).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

LOCK = "requirements.lock"
LIBRARIES = {  # imported name -> distribution
    "PIL": "pillow",  # decodes and resizes images
    "dtaidistance": "dtaidistance",
    "great_expectations": "great-expectations",  # the observations in a verdict
    "matplotlib": "matplotlib",  # panels and curves
    "nibabel": "nibabel",
    "numpy": "numpy",
    "optuna": "optuna",
    "pandas": "pandas",
    "pyarrow": "pyarrow",  # the bytes of a parquet file
    "sacrebleu": "sacrebleu",
    "safetensors": "safetensors",  # the bytes of arrays and weights
    "scipy": "scipy",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "statsmodels": "statsmodels",
    "torch": "torch",
}
UNDECLARED = {"pandas": ("pyarrow",)}  # what a library computes with without requiring it: pandas reads parquet by it


def versions(names: Iterable[str], pins: Mapping[str, str]) -> list[str]:
    """Return `name==version` of the numeric libraries among imported names, and of those that these compute with.

    The version is the installed public one (`2.13.0` of `2.13.0+cpu`). Where `pins` (`locked`) has another, both are
    given: an edited pin and an upgrade count alike.
    """
    used, todo = set[str](), {LIBRARIES[name] for name in names if name in LIBRARIES}
    while todo:
        used.add(name := todo.pop())
        todo |= _requirements(name) - used
    return [f"{name}=={_version(name, pins)}" for name in sorted(used)]


def mismatches(root: Path) -> list[str]:
    """Return a line for each numeric library whose installed version is not the one that requirements.lock pins."""
    pins = locked(root)
    return [
        f"{name}: {installed(name) or 'no version'} is installed, {LOCK} has {pins[name]}; run `make setup`"
        for name in sorted(LIBRARIES.values())
        if name in pins and installed(name) != pins[name]
    ]


def locked(root: Path) -> dict[str, str]:
    """Return the public version that requirements.lock pins, by distribution; {} where there is no such file."""
    path = root / LOCK
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    pins = (line.split("#")[0].split(";")[0].partition("==") for line in lines)
    return {_normal(name): public(version) for name, equal, version in pins if equal}


@cache
def installed(name: str) -> str:
    """Return the public version of an installed distribution; "" where there is none."""
    try:
        return public(metadata.version(name))
    except metadata.PackageNotFoundError:
        return ""


def _version(name: str, pins: Mapping[str, str]) -> str:
    version = installed(name) or "absent"
    return version if pins.get(name, version) == version else f"{version} (locked: {pins[name]})"


@cache
def _requirements(name: str) -> set[str]:
    """Return the numeric libraries that a distribution requires."""
    try:
        required = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        required = []
    names = {_normal(re.split(r"[^\w.-]", line.strip(), maxsplit=1)[0]) for line in required if "extra" not in line}
    return {*names, *UNDECLARED.get(name, ())} & set(LIBRARIES.values())


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def public(version: str) -> str:
    return version.strip().partition("+")[0]
