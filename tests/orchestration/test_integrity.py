"""dvc.lock tells the truth: an edit while a stage runs, or since its plan was made, fails the stage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import toy
import toy_stage

from genfoundry.errors import UserError
from pipeline.orchestration import integrity
from pipeline.orchestration.unit import Unit

Edit = Callable[[Path], object]
EDIT = "from pathlib import Path\npath = Path({path!r})\npath.write_text(path.read_text() + {text!r})\n"
HELPER = "pipeline/stages/helper.py"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of DVC's, in which nothing has run yet."""
    root = toy_stage.make(tmp_path_factory.mktemp("template"))
    toy.dvc(root, "init", "-q", "--no-scm")
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "root"))


def check_refused(root: Path, message: str) -> None:
    """`dvc repro act@a` ends with one line of ours and the stage's exit status 1, and records nothing."""
    done = toy_stage.repro(root, "act@a")
    assert done.returncode
    assert "exited with 1" in done.stdout
    said = [line for line in done.stdout.splitlines() if line.startswith("genfoundry")]
    assert said == [f"genfoundry act@a: {message}"]
    assert "Traceback" not in done.stdout
    assert toy.locked(root) == {}


def test_a_run_without_edits_is_recorded(root: Path) -> None:
    """An edit of a comment, and one of the machinery, while it runs is none."""
    edits = (EDIT.format(path=HELPER, text="# a comment\n"), EDIT.format(path="pipeline/__main__.py", text="X = 2\n"))
    toy_stage.set_hook(root, "".join(edits))
    assert toy_stage.repro(root).returncode == 0
    assert set(toy.locked(root)) == {"act@a", "act@b"}
    assert (root / "out/a").read_text() == "xa"


def test_an_edit_of_science_code_during_the_run_is_not_recorded(root: Path) -> None:
    toy_stage.set_hook(root, EDIT.format(path=HELPER, text="X = 2\n"))
    check_refused(root, "the sources of act@a changed while it ran; nothing is recorded, run it again")
    toy_stage.set_hook(root, "")
    toy_stage.plan(root)
    assert toy_stage.repro(root, "act@a").returncode == 0
    assert set(toy.locked(root)) == {"act@a"}


def test_an_edit_of_an_input_during_the_run_is_not_recorded(root: Path) -> None:
    """DVC itself would take the edited file for what the out was made from."""
    toy_stage.set_hook(root, EDIT.format(path="data/x", text="edited"))
    check_refused(root, "data/x changed while act@a ran; nothing is recorded, run it again")
    toy_stage.set_hook(root, "")
    assert toy_stage.repro(root, "act@a").returncode == 0
    assert (root / "out/a").read_text() == "xediteda"


def test_an_edit_since_the_plan_fails_the_stage_before_it_begins(root: Path) -> None:
    append(HELPER, "X = 2\n")(root)
    check_refused(root, "build/plan/act/a.json: the sources of act@a changed since the plan; run it again")
    assert not (root / "out").exists()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The same without DVC."""
    root = toy_stage.make(tmp_path / "site")
    (root / "data/more").mkdir()
    (root / "data/more/y").write_text("y")
    return root


def append(path: str, text: str = "X = 3\n") -> Edit:
    return lambda root: (root / path).write_text((root / path).read_text() + text)


def write(path: str, text: str = "") -> Edit:
    return lambda root: (root / path).write_text(text)


def remove(path: str) -> Edit:
    return lambda root: (root / path).unlink()


def read(site: Path) -> Unit:
    return Unit.read(site / "build/plan/act/a.json")


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (append("data/x"), "data/x"),
        (write("data/more/y", "z"), "data/more/y"),  # of the same size
        (write("data/new"), "data/new"),
        (write("data/.hidden"), "data/.hidden"),
        (remove("data/x"), "data/x"),
        (lambda root: shutil.rmtree(root / "data"), "data/more/y and 1 more"),
        (lambda root: (root / "data/x").rename(root / "data/z"), "data/x and 1 more"),
        (append("build/plan/act/a.json", " "), "build/plan/act/a.json"),
        (append("pipeline/stages/act.py"), "the sources of act@a"),
        (append(HELPER), "the sources of act@a"),
        (remove(HELPER), "the sources of act@a"),
    ],
)
def test_what_changed_is_named(edit: Edit, named: str, site: Path) -> None:
    with pytest.raises(UserError) as refused, integrity.guard(read(site), site):
        edit(site)
    assert str(refused.value).startswith(f"{named} changed while ")
    assert str(refused.value).endswith(" ran; nothing is recorded, run it again")


def rewrite(path: str) -> Edit:
    def edit(root: Path) -> None:
        content = (root / path).read_bytes()
        (root / path).unlink()
        (root / path).write_bytes(content)

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        rewrite("data/x"),
        rewrite(HELPER),
        append(HELPER, "# a comment\n"),
        write("pipeline/stages/other.py", "X = 1\n"),
        append("pipeline/orchestration/memo.py"),
        append("build/plan/act/b.json", " "),
        write("data/.gitignore"),
        lambda root: (root / "data/empty").mkdir(),
        lambda root: (root / "out").mkdir(),
    ],
)
def test_what_the_unit_does_not_read_may_change(edit: Edit, site: Path) -> None:
    with integrity.guard(read(site), site):
        edit(site)


def test_an_input_that_comes_during_the_run_is_an_edit(site: Path) -> None:
    (site / "data").rename(site / "elsewhere")
    with pytest.raises(UserError, match=r"^data/more/y and 1 more changed while"), integrity.guard(read(site), site):
        (site / "elsewhere").rename(site / "data")


def test_an_error_of_the_stage_is_its_own(site: Path) -> None:
    """Not hidden by what the edit that caused it would say."""

    def work() -> None:
        (site / "data/x").unlink()
        (site / "data/x").read_text()

    with pytest.raises(FileNotFoundError), integrity.guard(read(site), site):
        work()


def test_a_library_that_was_upgraded_since_the_plan(site: Path) -> None:
    append(HELPER, "import numpy\n")(site)
    toy_stage.plan(site)
    with integrity.guard(read(site), site):
        pass
    (site / "requirements.lock").write_text("numpy==0.1\n")
    with pytest.raises(UserError, match="changed since the plan"), integrity.guard(read(site), site):
        raise AssertionError


def test_state_is_kept_for_what_the_unit_depends_on(site: Path) -> None:
    """A second process of the same unit finds it; a unit of other inputs or settings never does."""

    def folder(name: str = "a") -> Path:
        unit = Unit.read(site / f"build/plan/act/{name}.json")
        with integrity.guard(unit, site) as digest:
            return integrity.state_folder(unit, digest, site)

    first = folder()
    assert first.parent == site / ".state" and folder() == first
    assert folder("b") != first
    (site / "data/x").write_text("other")
    assert folder() != first
    (site / "data/x").write_text("x")
    assert folder() == first
    other = toy_stage.unit(site, "a", steps=2)
    (site / other.path).write_bytes(other.dump())
    assert folder() != first
