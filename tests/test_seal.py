"""dvc.lock tells the truth: an edit while a stage runs, or since its code was digested, fails the stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pipelet
import pytest

from genfoundry import graph, imports, seal
from genfoundry.types import UserError
from pipeline import code

EDIT = "from pathlib import Path\npath = Path({path!r})\npath.write_text(path.read_text() + {text!r})\n"


def test_an_edit_of_a_dependency_during_the_run_is_not_recorded(tmp_path: Path) -> None:
    """Through DVC itself, which would take the edited file for what the out was made from."""
    root = pipelet.make(tmp_path, EDIT.format(path="data/x", text="edited"))
    done = pipelet.dvc(root, "repro", "act@a")
    assert done.returncode != 0
    assert "genfoundry act:a: data/x changed while the stage ran; nothing is recorded" in done.stdout
    assert pipelet.locked(root) == {"code"}
    pipelet.hooked(root, "")
    pipelet.good(pipelet.dvc(root, "repro", "act@a"))
    assert pipelet.locked(root) == {"code", "act@a"}
    assert (root / "out/a").read_text() == "xediteda"


def test_an_edit_of_a_source_since_its_digest_fails_the_stage(tmp_path: Path) -> None:
    root = pipelet.make(tmp_path)
    pipelet.good(pipelet.dvc(root, "repro", "code"))
    with (root / "pipeline/act.py").open("a") as file:
        file.write("# edited\n")
    done = pipelet.dvc(root, "repro", "--single-item", "act@a")
    assert done.returncode != 0
    assert "genfoundry act:a: the sources of stages.act were edited since" in done.stdout
    assert pipelet.locked(root) == {"code"}
    pipelet.good(pipelet.dvc(root, "repro", "act@a"))  # the stage `code` comes first, and reads them again
    assert "act@a" in pipelet.locked(root)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same without DVC: the stage `code` has run."""
    monkeypatch.setattr(pipelet, "dvc", lambda *words: None)
    monkeypatch.setattr(pipelet, "good", lambda done: "")
    root = pipelet.make(tmp_path)
    imports._imported.cache_clear()
    (root / "reports").mkdir()
    (root / "reports/code.json").write_text(json.dumps(code.digests(root)))
    return root


def append(path: str) -> Callable[[Path], object]:
    return lambda root: (root / path).write_text((root / path).read_text() + "# edited\n")


def parameter(old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / "params.yaml").write_text((root / "params.yaml").read_text().replace(old, new))


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (append("data/x"), "data/x"),
        (lambda root: (root / "data/new").write_text(""), "data/new"),
        (lambda root: (root / "data/x").unlink(), "data/x"),
        (append("pipeline/act.py"), "pipeline/act.py"),
        (append("pipeline/__main__.py"), "pipeline/__main__.py"),
        (lambda root: (root / "pipeline/act.py").unlink(), "pipeline/act.py"),
        (parameter("a: {n: 1}", "a: {n: 2}"), "params.yaml:acts.a"),
        (lambda root: (root / "reports/code.json").write_text('{"stages": {"act": "0"}}'), "reports/code.json:stages"),
    ],
)
def test_what_changed_is_named(edit: Callable[[Path], object], named: str, site: Path) -> None:
    with pytest.raises(UserError, match=f"^{named}.* changed while the stage ran"), seal.sealed("act@a", site):
        edit(site)


def rewrite(root: Path) -> None:
    text = (root / "data/x").read_text()
    (root / "data/x").unlink()
    (root / "data/x").write_text(text)


@pytest.mark.parametrize(
    "edit",
    [
        rewrite,
        append("pipeline/gather.py"),
        parameter("other: 1", "other: 2"),
        parameter("b: {n: 1}", "b: {n: 2}"),
        lambda root: (root / "out").mkdir(),
    ],
)
def test_what_the_stage_does_not_depend_on_may_change(edit: Callable[[Path], object], site: Path) -> None:
    with seal.sealed("act@a", site):
        edit(site)


def test_a_stage_that_records_nothing_is_not_watched(site: Path) -> None:
    with seal.sealed("turn", site):
        append("pipeline/turn.py")(site)
    with seal.sealed("nobody", site):
        pass


def test_a_file_is_read_again_only_if_it_was_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened = tmp_path / "x", []
    plain = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: opened.append(self) or plain(self, *a, **k))
    path.write_bytes(b"one")
    with monkeypatch.context() as patch:
        patch.setattr(graph, "FRESH", 0)
        first = graph.file_digest(path)
        opened.clear()
        assert graph.file_digest(path) == first
        assert opened == []
    path.write_bytes(b"two")  # of the same size, perhaps within one tick of the file system's clock
    assert graph.file_digest(path) != first
