"""Two versions of a registered model in one process answer each by its own code, whatever was imported before."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fabricated
import mlflow.pyfunc
import pandas as pd
import pytest

import genfoundry
from genfoundry.tracking import package

PAST = [[0.0], [0.5], [1.0], [0.2]]
Make = Callable[[str, int], Path]


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model packaged by today's code, and by two commits in which the model and the code around it are others."""
    root = tmp_path_factory.mktemp("versions")
    fabricated.prepare(root)
    fabricated.train(root, "ar", 2)
    source, folders = Path(genfoundry.__file__).parent, {"today": root / "today"}
    for name, most, shift in (("first", 7, 100), ("second", 9, 500)):
        copy = root / "code" / name
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        files = ("serving/predictor.py", "serving/value_checks.py", "models/linear_ar.py")
        predictor, checks, model = (copy / file for file in files)
        model.write_text(f"{model.read_text()}\n\nLinearAr.shift = {shift}\n")
        checks.write_text(checks.read_text().replace("MOST = 100_000 ", f"MOST = {most} "))
        old, new = "labels, draw).numpy())", "labels, draw).numpy() + self.model.shift)"
        predictor.write_text(predictor.read_text().replace(old, new))
        folders[name] = root / name
    for name, out in folders.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(package, "CODE", root / "code" / name if name != "today" else source)
            package.save_mlflow_model(root / "models/experiments/ar", out, root / "none.lock", {})
    return folders


@pytest.fixture
def fresh() -> Any:
    """No packaged code in this process, before and after; the repository's stays."""

    def clear() -> None:
        for name in [name for name in sys.modules if name.startswith("genfoundry_")]:
            del sys.modules[name]

    clear()
    yield
    clear()


def answer(model: Any) -> tuple[int, str]:
    """About where a model's samples are, and how it refuses ten of them."""
    drawn = model.predict(pd.DataFrame([{"n": 1, "past": PAST}]), params={"seed": 1, "temperature": 0.0})
    with pytest.raises(Exception, match="n: ") as raised:
        model.predict(pd.DataFrame([{"n": 10**6, "past": PAST}]))
    return round(drawn["sample"][0][0][0] / 100) * 100, str(raised.value)


RIGHT = {
    "first": (100, "n: 1000000: expected a whole number from 1 to 7"),
    "second": (500, "n: 1000000: expected a whole number from 1 to 9"),
    "today": (0, "n: 1000000: expected a whole number from 1 to 100000"),
}


@pytest.mark.parametrize("order", [("first", "second", "today"), ("today", "second", "first")])
def test_each_version_answers_by_its_own_code(versions: dict[str, Path], order: tuple[str, ...], fresh: None) -> None:
    loaded = {name: mlflow.pyfunc.load_model(str(versions[name])) for name in order}
    assert {name: answer(loaded[name]) for name in (*order, *order)} == RIGHT


def test_it_runs_where_the_name_means_something_else(
    versions: dict[str, Path], monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    """No module of the packaged code asks for `genfoundry`, at its head or later."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "genfoundry"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert answer(mlflow.pyfunc.load_model(str(versions["first"]))) == RIGHT["first"]


def test_the_folder_of_the_first_may_be_gone(versions: dict[str, Path], tmp_path: Path, fresh: None) -> None:
    """MLflow loads what a server has from a temporary folder; models of the same code share its modules."""
    shutil.copytree(versions["first"], tmp_path / "copy")
    mlflow.pyfunc.load_model(str(tmp_path / "copy"))
    shutil.rmtree(tmp_path / "copy")
    for name in [name for name in sys.modules if name.startswith("genfoundry_") and name.endswith("linear_ar")]:
        del sys.modules[name]  # as if the copy had been a model of another family
    assert answer(mlflow.pyfunc.load_model(str(versions["first"]))) == RIGHT["first"]


def test_equal_code_has_an_equal_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.py").write_text('from genfoundry import x\nimport genfoundry\nNAME = "genfoundry"\n')
    first, second = (package.copy_code(tmp_path / name, tmp_path / f"to-{name}") for name in ("a", "b"))
    assert first.name == second.name
    text = (first / "m.py").read_text()
    assert text == f'from {first.name} import x\nimport {first.name}\nNAME = "genfoundry"\n'
    (tmp_path / "b/m.py").write_text("x = 1\n")
    assert package.copy_code(tmp_path / "b", tmp_path / "to-c").name != first.name
