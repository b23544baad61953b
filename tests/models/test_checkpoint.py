"""Models on disk: one model has one spelling, a failed write keeps the old bytes, a damaged file is one line."""

from __future__ import annotations

import ast
import errno
import json
import os
import pickle
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genfoundry import files, models
from genfoundry.errors import UserError
from genfoundry.models import checkpoint
from genfoundry.models.base import Hyper, Learner
from genfoundry.models.char_rnn import CharRnn
from genfoundry.models.judge import Judge
from genfoundry.types import Spec

SRC = Path(__file__).parents[2] / "src"
TEXT = Spec((12,), 7)


def rnn(spec: Spec = TEXT, seed: int = 0, **hyper: Any) -> CharRnn:
    torch.manual_seed(seed)
    return CharRnn(spec, CharRnn.Config(**hyper))


@contextmanager
def full(size: int = 400) -> Iterator[None]:
    """Files cannot grow beyond `size` bytes: a write really stops half-way, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_canonical_has_one_spelling(tmp_path: Path) -> None:
    path = tmp_path / "new/a.json"
    files.write_json(path, {"b": (1, 2.5), "a": {"é": None}})
    assert path.read_bytes() == '{\n  "a": {\n    "é": null\n  },\n  "b": [\n    1,\n    2.5\n  ]\n}\n'.encode()
    assert files.to_canonical_json({"a": 1, "b": 2}) == files.to_canonical_json({"b": 2, "a": 1})
    assert files.read_json(path) == {"a": {"é": None}, "b": [1, 2.5]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_json_knows_no_other_numbers(value: object, tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == 1
    assert listing(tmp_path) == ["a.json"]


def test_a_write_that_runs_out_of_space_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, "old")
    with full(), pytest.raises(UserError, match=r"a\.json: File too large; free space") as caught:
        files.write_json(path, "new" * 1000)
    assert str(path) in str(caught.value)
    assert files.read_json(path) == "old"
    assert listing(tmp_path) == ["a.json"]


@pytest.mark.parametrize("step", ["mkdir", "write_bytes", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_whatever_fails_is_one_line(step: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, "old")

    def fail(self: Path, *args: Any, **more: Any) -> None:
        raise OSError(code, os.strerror(code), str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, step, fail)
        with pytest.raises(UserError, match=f"^{path}: {os.strerror(code)}; free space or make the folder writable$"):
            files.write_json(path, "new")
    assert files.read_json(path) == "old"
    assert listing(tmp_path) == ["a.json"]


def test_an_interrupted_write_leaves_nothing_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_json(tmp_path / "a.json", 1)
    assert listing(tmp_path) == []


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"^{tmp_path}/file/a.json: .*make the folder writable$"):
        files.write_json(tmp_path / "file/a.json", 1)
    with pytest.raises(UserError, match=f"^{tmp_path}/file/model: .*make the folder writable$"):
        checkpoint.save(tmp_path / "file/model", rnn(), {})


def test_a_folder_is_replaced_only_when_all_went_well(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with files.replace_dir(folder) as new:
        (new / "a").write_text("old")
    with pytest.raises(ZeroDivisionError), files.replace_dir(folder) as new:
        (new / "a").write_text(str(1 // 0))
    assert (folder / "a").read_text() == "old"
    with files.replace_dir(folder) as new:
        (new / "b").write_text("new")
    assert listing(folder) == ["b"]
    assert listing(tmp_path) == ["out"]


def by_plain_write(new: Path) -> None:
    (new / "a").write_bytes(b"x" * 5000)


def by_json(new: Path) -> None:
    files.write_json(new / "a", "x" * 5000)


def by_safetensors(new: Path) -> None:
    save_file({"a": torch.zeros(5000)}, new / "a")


@pytest.mark.parametrize("write", [by_plain_write, by_json, by_safetensors])
def test_a_folder_that_finds_no_space(write: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with files.replace_dir(folder) as new:
        (new / "a").write_text("old")
    with full(), pytest.raises(UserError, match=f"^{folder}.*File too large.*; free space") as caught:  # noqa: SIM117
        with files.replace_dir(folder) as new:
            write(new)
    assert len(str(caught.value).splitlines()) == 1
    assert (folder / "a").read_text() == "old"
    assert listing(tmp_path) == ["out"]


def test_save_and_load_the_same_bytes(tmp_path: Path) -> None:
    card = {"experiment": "x", "digests": {"data": "d"}, "meta": {"names": ["é"]}}
    first = checkpoint.save(tmp_path / "a", rnn(cell="gru"), card)
    loaded = checkpoint.load(tmp_path / "a")
    assert not any(module.training for module in loaded.modules())
    assert loaded.card["experiment"] == "x"
    assert loaded.card["digest"] == first
    assert loaded.card["digests"] == {"data": "d", "weights": files.sha256(tmp_path / "a/weights.safetensors")}
    assert checkpoint.save(tmp_path / "b", loaded, card) == first
    for name in ("weights.safetensors", "model.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert (tmp_path / "a" / name).stat().st_mode & 0o444 == 0o444  # others may read it, as any file of git's
    assert listing(tmp_path / "a") == ["model.json", "weights.safetensors"]


def test_the_digest_is_of_weights_class_configuration_and_spec(tmp_path: Path) -> None:
    base = rnn()
    moved = rnn()
    with torch.no_grad():
        next(moved.parameters()).view(-1)[0] += 1e-7
    images = {"shape": (1, 8, 8), "levels": 17, "classes": 2}
    different = {
        "base": base,
        "weights": moved,
        "config": rnn(embedding=9),  # the plain cell has no embedding: the tensors are the same
        "spec": rnn(Spec((13,), 7)),
        "class": Judge(Spec(**images), Judge.Config()),
        "class counts": Judge(Spec(**images, class_counts=(3, 4)), Judge.Config()),
    }
    digests = {name: checkpoint.save(tmp_path / name, model, {}) for name, model in different.items()}
    assert len(set(digests.values())) == len(different)
    assert checkpoint.save(tmp_path / "card", base, {"experiment": "other"}) == digests["base"]


def test_a_save_that_finds_no_space_keeps_the_old_model(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    digest = checkpoint.save(folder, rnn(), {})
    with full(), pytest.raises(UserError, match=f"^{folder}/weights.safetensors: File too large; free space"):
        checkpoint.save(folder, rnn(seed=1), {})
    assert checkpoint.load(folder).card["digest"] == digest
    assert listing(tmp_path) == ["model"]


class Tied(Learner):
    """Two names for one tensor."""

    def __init__(self, spec: Spec = TEXT, config: Hyper | None = None) -> None:
        super().__init__(spec, config or Hyper())
        self.inward = nn.Embedding(4, 3)
        self.outward = nn.Linear(3, 4, bias=False)
        self.outward.weight = self.inward.weight


def test_tied_weights_come_back_tied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Tied()
    checkpoint.save(tmp_path / "a", model, {})
    monkeypatch.setattr(models, "find", lambda name: Tied)
    loaded = checkpoint.load(tmp_path / "a")
    assert loaded.outward.weight is loaded.inward.weight  # type: ignore[union-attr]
    assert torch.equal(loaded.state_dict()["inward.weight"], model.inward.weight)


def tensors(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        found = load_file(folder / "weights.safetensors")
        change(found)
        save_file(found, folder / "weights.safetensors")

    return damage


def card(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        found = json.loads((folder / "model.json").read_text())
        change(found)
        (folder / "model.json").write_text(json.dumps(found))

    return damage


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])  # type: ignore[return-value]


WEIGHT = "w_hy.weight"
DAMAGE: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "no folder": (lambda f: f.rename(f.with_name("elsewhere")), ["model.json", "No such file"]),
    "no description": (lambda f: (f / "model.json").unlink(), ["model.json", "No such file"]),
    "description is not JSON": (cut("model.json", 100), ["model.json", "not JSON"]),
    "description is not text": (lambda f: (f / "model.json").write_bytes(b"\xff\xfe"), ["model.json", "not JSON"]),
    "description is a list": (
        lambda f: (f / "model.json").write_text("[]"),
        ["model.json", "model, config, spec missing"],
    ),
    "a judge that there is not": (
        lambda f: (f / "model.json").write_text('{"judge": null}'),
        ["model.json", "model, config, spec missing"],
    ),
    "no spec": (card(lambda c: c.pop("spec")), ["model.json", "spec missing"]),
    "unknown model": (card(lambda c: c.update(model="char_run")), ["model.json", "'char_run'", "char_rnn"]),
    "model is no name": (card(lambda c: c.update(model=["char_rnn"])), ["model.json", "char_rnn"]),
    "unknown setting": (card(lambda c: c["config"].update(widht=3)), ["config.widht", "did you mean 'width'"]),
    "setting of another type": (card(lambda c: c["config"].update(width="16")), ["config.width", "'16'", "integer"]),
    "setting out of range": (card(lambda c: c["config"].update(width=0)), ["config.width", "greater than or equal"]),
    "unknown key in the spec": (card(lambda c: c["spec"].update(leves=3)), ["spec does not suit", "leves"]),
    "a spec of another modality": (card(lambda c: c["spec"].update(levels=None)), ["spec does not suit", "char_rnn"]),
    "a negative size": (card(lambda c: c["spec"].update(levels=-7)), ["model.json", "spec does not suit"]),
    "another width": (card(lambda c: c["config"].update(width=8)), [WEIGHT, "(7, 16)", "model.json wants", "(7, 8)"]),
    "no weights": (lambda f: (f / "weights.safetensors").unlink(), ["weights.safetensors", "No such file"]),
    "weights are a folder": (
        lambda f: ((f / "weights.safetensors").unlink(), (f / "weights.safetensors").mkdir()),
        ["weights.safetensors", "not readable as safetensors"],
    ),
    "empty weights": (cut("weights.safetensors", 0), ["weights.safetensors", "not readable as safetensors"]),
    "cut in the header": (cut("weights.safetensors", 50), ["weights.safetensors", "not readable as safetensors"]),
    "cut in a tensor": (cut("weights.safetensors", -1), ["weights.safetensors", "not readable as safetensors"]),
    "another shape": (tensors(lambda t: t.update({WEIGHT: torch.zeros(7, 3)})), [WEIGHT, "(7, 3)", "(7, 16)"]),
    "another type": (tensors(lambda t: t.update({WEIGHT: t[WEIGHT].half()})), [WEIGHT, "float16", "float32"]),
    "a tensor missing": (tensors(lambda t: t.pop(WEIGHT)), [f"{WEIGHT} is missing"]),
    "a tensor too many": (tensors(lambda t: t.update(odd=torch.zeros(1))), ["odd is not of this model"]),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_model_is_one_line(case: str, tmp_path: Path) -> None:
    damage, words = DAMAGE[case]
    folder = tmp_path / "model"
    checkpoint.save(folder, rnn(), {})
    damage(folder)
    with pytest.raises(UserError) as caught:
        checkpoint.load(folder)
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    assert message.startswith(str(folder)), message
    assert all(word in message for word in words), message


class Trap:
    """Unpickling it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_nothing_runs_on_load(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "model", rnn(), {})
    trap = Trap(tmp_path / "sprung")
    (tmp_path / "model/weights.safetensors").write_bytes(pickle.dumps(trap))
    with pytest.raises(UserError, match="not readable as safetensors"):
        checkpoint.load(tmp_path / "model")
    torch.save(trap, tmp_path / "model/weights.safetensors")
    with pytest.raises(UserError, match="not readable as safetensors"):
        checkpoint.load(tmp_path / "model")
    assert not (tmp_path / "sprung").exists()


def test_no_pickle_in_the_code() -> None:
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {n.split(".")[0] for n in names} & {"pickle", "cloudpickle", "dill", "joblib"}, path
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("torch.load", "torch.save"), path
                assert not any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords), path


def test_tensors_and_their_note_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    values = {"a": torch.arange(3), "b": torch.randn(2, 2, dtype=torch.float64).T}
    files.write_tensors(path, values, {"step": 3, "events": [0.1]})
    first = path.read_bytes()
    assert files.read_note(path) == {"events": [0.1], "step": 3}
    found = files.read_tensors(path)
    assert found.keys() == values.keys() and all(torch.equal(found[k], values[k]) for k in values)
    files.write_tensors(path, dict(reversed(values.items())), {"events": [0.1], "step": 3})
    assert path.read_bytes() == first
    with full(), pytest.raises(UserError, match=r"state\.safetensors: File too large"):
        files.write_tensors(path, {"a": torch.zeros(1000)}, {})
    assert path.read_bytes() == first
    assert listing(tmp_path) == ["state.safetensors"]
