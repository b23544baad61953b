"""No private name of another package is used, but for a few in one named file a package, which are tested here.

A name is private that begins with an underscore, or that is in a module which its package's documentation does not
name.
"""

from __future__ import annotations

import ast
import inspect
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("src", "pipeline", "bench")
# Modules that a package's API reference, or a page of its user's guide, tells users to import from.
DOCUMENTED = {
    "dvc": {"dvc.api"},
    "dvc_data": set(),
    "dvc_objects": set(),
    "fsspec": {"fsspec"},
    "great_expectations": {
        "great_expectations",
        "great_expectations.expectations",
        "great_expectations.expectations.row_conditions",
    },
    "matplotlib": {
        "matplotlib",
        "matplotlib.axes",
        "matplotlib.backends.backend_agg",
        "matplotlib.figure",
        "matplotlib.pyplot",
        "matplotlib.ticker",
    },
    "mlflow": {
        "mlflow",
        "mlflow.entities",
        "mlflow.entities.model_registry",
        "mlflow.exceptions",
        "mlflow.models",
        "mlflow.protos.databricks_pb2",  # the codes of MlflowException, whose documentation names it
        "mlflow.pyfunc",
        "mlflow.tracking",
        "mlflow.types",
    },
    "nibabel": {"nibabel", "nibabel.filebasedimages", "nibabel.orientations", "nibabel.spatialimages"},
    "optuna": {
        "optuna",
        "optuna.distributions",
        "optuna.importance",
        "optuna.pruners",
        "optuna.samplers",
        "optuna.trial",
        "optuna.visualization",
        "optuna.visualization.matplotlib",
    },
    "ray": {"ray", "ray.util.scheduling_strategies", "ray.exceptions"},
    "sacrebleu": {"sacrebleu", "sacrebleu.metrics"},
    "safetensors": {"safetensors", "safetensors.numpy", "safetensors.torch"},
    "skimage": {"skimage.metrics", "skimage.restoration"},
    "statsmodels": {"statsmodels", "statsmodels.tsa.ar_model", "statsmodels.tsa.holtwinters"},
    "submitit": {"submitit"},
    "torch": {
        "torch",
        "torch.autograd.function",
        "torch.distributions",
        "torch.func",
        "torch.nn",
        "torch.nn.functional",
        "torch.nn.utils.parametrizations",
        "torch.optim.swa_utils",
        "torch.utils.data",
    },
}
WATCHED = {*DOCUMENTED, "dpath", "numpy", "pandas", "pydantic", "scipy", "sklearn", "yaml", "PIL", "psutil"}
SETTINGS = {  # values of other packages that their documentation tells users to set
    "torch.backends": "flags",
    "torch.utils.deterministic": "flags",
    "PIL.Image.MAX_IMAGE_PIXELS": "a limit",
}
EXCEPTIONS = {  # the named file of each package
    "torch": "src/genfoundry/nn/torch_private.py",
    "mlflow": "src/genfoundry/tracking/mlflow_private.py",
}


def faults(source: str, where: str) -> Iterator[str]:
    """Every use of a private name, of an undocumented module, and every change of another package, in a file."""
    tree, names = ast.parse(source), {}
    for node in ast.walk(tree):
        for alias, target in _imported(node):
            names[alias] = target
            package = target.partition(".")[0]
            module = target if isinstance(node, ast.Import) else target.rpartition(".")[0]
            known = DOCUMENTED.get(package)
            if any(part.startswith("_") for part in target.split(".")):
                yield f"{where}:{node.lineno}: {target} is private"
            elif known is not None and module not in known and target not in known:
                yield f"{where}:{node.lineno}: {module} is no documented module"
    for node in ast.walk(tree):
        chain = _dotted(node, names)
        if chain is None or not isinstance(node, ast.Attribute):
            continue
        if any(part.startswith("_") and part != "__version__" for part in chain.split(".")):
            yield f"{where}:{node.lineno}: {chain} is private"
        elif isinstance(node.ctx, ast.Store | ast.Del) and not chain.startswith(tuple(SETTINGS)):
            yield f"{where}:{node.lineno}: {chain} is replaced"
    for node in ast.walk(tree):  # setattr(package.module, "name", ...)
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if called in ("setattr", "delattr") and (chain := _dotted(node.args[0], names)):
            yield f"{where}:{node.lineno}: an attribute of {chain} is replaced"


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Name in the file, dotted name, of what a statement imports of the watched packages."""
    if isinstance(node, ast.Import):
        for item in node.names:
            if item.name.partition(".")[0] in WATCHED:
                yield item.asname or item.name.partition(".")[0], item.name
    elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] in WATCHED:
        for item in node.names:
            yield item.asname or item.name, f"{node.module}.{item.name}"


def _dotted(node: ast.AST, names: dict[str, str]) -> str | None:
    """The dotted name of an attribute of something imported."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in names:
        return None
    start = names[node.id]
    return ".".join([start if start.endswith(node.id) or "." in start else node.id, *reversed(parts)])


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("import torch\ntorch._foreach_lerp_", "torch._foreach_lerp_ is private"),
        ("from skimage.metrics import _structural_similarity", "skimage.metrics._structural_similarity is private"),
        ("from skimage.metrics._structural_similarity import f", "is private"),
        ("from dvc.repo import Repo", "dvc.repo is no documented module"),
        ("import dvc.repo", "dvc.repo is no documented module"),
        ("def f():\n    from dvc_data.index import DataIndex", "dvc_data.index is no documented module"),
        ("from mlflow.utils.rest_utils import http_request", "mlflow.utils.rest_utils is no documented module"),
        ("import dpath\ndpath.get = len", "dpath.get is replaced"),
        ("from dvc import api\napi.open = len", "dvc.api.open is replaced"),
        ("import optuna as o\nsetattr(o.trial, 'f', len)", "an attribute of"),
        ("import optuna as o\ndel o.trial.f", "is replaced"),
        ("import torch\ntorch.backends.cudnn.benchmark = False", None),
        ("from dvc.api import DVCFileSystem\nfrom torch import nn\nnn.functional.relu", None),
        ("import torch.nn.functional as F\nF.relu\nself._own = 1", None),
    ],
)
def test_what_is_private_is_seen(line: str, fault: str | None) -> None:
    problems = list(faults(line, "x"))
    assert bool(problems) == bool(fault), problems
    assert not fault or fault in problems[0]


def test_no_private_name_of_another_package_is_used() -> None:
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 200
    apart = {ROOT / file for file in EXCEPTIONS.values()}
    problems = [item for path in files if path not in apart
             for item in faults(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))]  # fmt: skip
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(("package", "file"), EXCEPTIONS.items())
def test_an_exception_s_file_is_about_its_package_and_is_needed(package: str, file: str) -> None:
    uses = list(faults((ROOT / file).read_text(encoding="utf-8"), file))
    assert uses and all(f": {package}." in item for item in uses), uses


@pytest.mark.parametrize("package", ["dvc", "mlflow", "optuna", "great-expectations", "torch"])
def test_versions_are_bounded(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (line,) = (item for item in project["dependencies"] if item.startswith((f"{package}>", f"{package}=")))
    assert "<" in line or "==" in line


def test_torch_s_functional_adamw_takes_what_is_given_to_it_and_skips_what_is_not_finite() -> None:
    """It is torch.optim.AdamW's step, but for `found_inf`."""
    from genfoundry.nn.torch_private import adamw

    start, gradient = torch.linspace(-1, 1, 7), torch.linspace(2, -3, 7)
    reference = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.AdamW([reference], lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.01, fused=True)
    reference.grad = gradient.clone()
    optimizer.step()
    for bad, expected in ((0.0, reference.detach()), (1.0, start)):
        moved = start.clone()
        states = [[torch.zeros(7)], [torch.zeros(7)], [], [torch.zeros(())]]
        settings: dict[str, Any] = {"beta1": 0.9, "beta2": 0.99, "lr": 0.1, "weight_decay": 0.01, "eps": 1e-8}
        settings |= {"fused": True, "grad_scale": None, "found_inf": torch.tensor(bad)}
        adamw([moved], [gradient], *states, amsgrad=False, maximize=False, **settings)
        assert torch.equal(moved, expected)


def test_torch_s_gamma_is_that_of_its_distribution_and_follows_its_generator() -> None:
    from genfoundry.nn.torch_private import standard_gamma

    shape = torch.tensor([0.5, 3.0]).double().expand(20000, 2)
    drawn = [standard_gamma(shape, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    torch.manual_seed(1)
    assert torch.equal(drawn[0], torch.distributions.Gamma(shape, torch.ones(())).sample())
    np.testing.assert_allclose(drawn[0].mean(0), shape[0], rtol=0.05)


def test_mlflow_s_request_is_made_once_with_the_client_s_login() -> None:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    inspect.signature(get_default_host_creds).bind("http://x")
    inspect.signature(http_request).bind(
        None, "/api", "POST", max_retries=0, timeout=1.0, raise_on_status=False, json={}
    )
    inspect.signature(SystemMetricsMonitor).bind("run", sampling_interval=1.0, tracking_uri="sqlite:///x")
    assert {"start", "finish"} <= set(dir(SystemMetricsMonitor))
