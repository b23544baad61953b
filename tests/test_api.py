"""The public interface: light to import, typed, and whole: what is trained is saved, loaded and measured again."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import genfoundry
from genfoundry import GenerativeModel, Spec
from genfoundry.errors import UserError
from genfoundry.selection import ledger, weight_store
from genfoundry.types import Batch

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
IMAGES = torch.randint(4, (40, 1, 8, 8), generator=torch.Generator().manual_seed(0))


def run(*arguments: object, cwd: Path | None = None) -> str:
    """Standard output of a Python process."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_imports_nothing_of_it() -> None:
    code = "import sys, genfoundry; print([n for n in sys.modules if n.startswith(('genfoundry.', 'torch', 'numpy'))])"
    assert run("-c", code).strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert all(getattr(genfoundry, name).__name__ == name for name in genfoundry.__all__)
    assert genfoundry.__version__.count(".") >= 1
    assert (Path(genfoundry.__file__).parent / "py.typed").exists()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        genfoundry.nothing  # noqa: B018


@pytest.mark.parametrize("first", ["import genfoundry.evaluate", "genfoundry.evaluate"])
def test_evaluate_is_the_function_whoever_comes_first(first: str) -> None:
    """A module of this name stays for champions of old commits."""
    code = f"import genfoundry, sys\n{first}\nimport genfoundry.evaluate\n"
    code += "print(genfoundry.evaluate.__name__, sys.modules['genfoundry.evaluate'].main.__name__)"
    assert run("-c", code).split() == ["evaluate", "main"]
    assert "--split" in run("-m", "genfoundry.evaluate", "--help")


def test_a_model_is_trained_saved_loaded_and_measured(tmp_path: Path) -> None:
    model = genfoundry.fit("made", IMAGES[:30], levels=4, steps=5, batch=8, lr=1e-3, seed=3)
    digest = genfoundry.save(model, tmp_path / "model")
    loaded = genfoundry.load(tmp_path / "model")
    assert isinstance(loaded, GenerativeModel) and loaded.card["digest"] == digest
    first, again = (genfoundry.evaluate(m, IMAGES[30:], seed=1)["bits_per_dim"] for m in (model, loaded))
    assert first == again
    assert first.n == 10 and first.low < first.value < first.high
    same = genfoundry.fit("made", IMAGES[:30], levels=4, steps={"fit": 5}, batch=8, lr={"model": 1e-3}, seed=3)
    assert genfoundry.save(same, tmp_path / "same") == digest


def test_labels_and_real_values_are_taken_as_they_are() -> None:
    label = torch.arange(30) % 3
    model = genfoundry.fit("vae", Batch(IMAGES[:30].float(), label=label), steps=2, batch=8)
    assert model.spec == Spec((1, 8, 8), None, 3, (10, 10, 10))
    assert "nats" in genfoundry.evaluate(model, IMAGES[30:].float())


def test_wrong_data_and_settings_are_one_line() -> None:
    with pytest.raises(UserError, match=r"levels: expected a number for integer data alone, got None for torch.int64"):
        genfoundry.fit("made", IMAGES, steps=1)
    with pytest.raises(UserError, match="levels: expected values from 0 to 1, got 0 to 3"):
        genfoundry.fit("made", IMAGES, levels=2, steps=1)
    with pytest.raises(UserError, match="expected a prepared data set of a series"):
        genfoundry.fit("linear_ar", torch.zeros(4, 5, 1), steps=1)
    with pytest.raises(UserError, match=r"fit: train.clip"):
        genfoundry.fit("made", IMAGES, levels=4, steps=1, train={"clip": -1.0})


def test_a_champion_is_loaded_by_its_task(tmp_path: Path) -> None:
    model = genfoundry.fit("made", IMAGES, levels=4, steps=1, batch=8)
    digest = genfoundry.save(model, tmp_path / "models/experiments/made-noise")
    with pytest.raises(UserError, match=r"expected a model's folder or TASK@champion, got 'noise@chapmion'"):
        genfoundry.load("noise@chapmion", root=tmp_path)
    with pytest.raises(UserError, match=r"expected a task with a champion \(none yet: .make repro. makes them\), got"):
        genfoundry.load("noise@champion", root=tmp_path)
    line: dict[str, object] = dict.fromkeys(("time", "who", "reason", "data", "ranking"), "x") | {
        "task": "noise",
        "decision": "champion",
    }
    weights = weight_store.describe(tmp_path / "models/experiments/made-noise", tmp_path)
    line |= {"experiment": "made-noise", "digest": digest, "weights": weights}
    ledger.append_decision(tmp_path / "ledger.jsonl", line)
    assert genfoundry.load("noise@champion", root=tmp_path).card["digest"] == digest
    with pytest.raises(UserError, match=r"expected a task with a champion \(noise\), got 'other'"):
        genfoundry.load("other@champion", root=tmp_path)


def test_a_type_checker_sees_every_public_name() -> None:
    """Under TYPE_CHECKING, since the names are imported at run time; mypy --strict runs over the package itself."""
    tree = ast.parse(Path(genfoundry.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    imported = [name.name for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names]
    assert sorted(imported) == sorted(genfoundry.__all__)


def test_the_examples_run(tmp_path: Path) -> None:
    said = run(EXAMPLES / "train_from_python.py", tmp_path / "vae")
    assert "bits_per_dim: " in said and "torch.Size([4, 8, 8])" in said
    assert json.loads((tmp_path / "vae/model.json").read_text())["model"] == "vae"
    said = run(EXAMPLES / "own_model.py", tmp_path / "own")
    assert "Estimate(value=" in said and "torch.Size([2, 1, 4, 4])" in said
    with pytest.raises(UserError, match="__main__"):
        genfoundry.load(tmp_path / "own")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40
