"""The digest of a unit's code changes with what can change a result, and with nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genfoundry import paths
from genfoundry.errors import UserError
from pipeline.orchestration import code_digest, libraries, syntax
from pipeline.orchestration.code_digest import Code

ROOT = Path(__file__).parents[2]
STAGE, MODEL = Path("pipeline/stages/train.py"), Path("src/genfoundry/models/vae.py")
STAGES = {STAGE.as_posix(), "pipeline/stages/__init__.py"}
FILES = {
    "pipeline/__init__.py": "",
    "pipeline/stages/__init__.py": '"""Stages."""\n',
    "pipeline/stages/train.py": "from genfoundry import loop\nfrom genfoundry.tracking import live\n",
    "src/genfoundry/__init__.py": "",
    "src/genfoundry/loop.py": (
        '"""The loop."""\n\nimport numpy as np\n\n\ndef step(rate: float) -> float:\n    """One step."""\n'
        "    return np.float64(rate * 2)\n"
    ),
    "src/genfoundry/tracking/__init__.py": "",
    "src/genfoundry/tracking/live.py": "from genfoundry import store\n",
    "src/genfoundry/store.py": "",
    "src/genfoundry/models/__init__.py": "",
    "src/genfoundry/models/vae.py": "import torch\n\nWIDTH = 3\n",
    "src/genfoundry/late.py": "LATE = 1\n",
    "src/genfoundry/typed.py": "TYPED = 1\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small repository."""
    for name, text in FILES.items():
        write(tmp_path / name, text)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def digest(root: Path, *starts: Path, leave_out: tuple[Path, ...] = ()) -> str:
    return Code(root).digest(starts or (STAGE, MODEL), leave_out)


def closure(root: Path, *starts: Path, leave_out: tuple[Path, ...] = ()) -> set[str]:
    return {path.as_posix() for path in Code(root).closure(starts or (STAGE, MODEL), leave_out)}


def edited(root: Path, name: str, edit: Callable[[str], str]) -> bool:
    """Whether an edit of a file changes the digest."""
    before, path = digest(root), root / name
    text = path.read_text(encoding="utf-8")
    assert edit(text) != text, "the edit must do something"
    write(path, edit(text))
    return digest(root) != before


def test_the_closure_holds_imports_of_imports_and_packages_on_the_way(root: Path) -> None:
    write(root / "src/genfoundry/loop.py", "import genfoundry.models.vae\n")
    models = {"src/genfoundry/models/__init__.py", "src/genfoundry/models/vae.py"}
    assert closure(root, MODEL) == {"src/genfoundry/__init__.py", *models}
    assert closure(root, STAGE) == STAGES | {"src/genfoundry/__init__.py", "src/genfoundry/loop.py", *models}


LAYOUT = [
    lambda text: text + "\n# a comment\n",
    lambda text: text.replace("One step.", "One step of many."),
    lambda text: text.replace('    """One step."""\n', ""),
    lambda text: text.replace("The loop", "A loop"),
    lambda text: text.replace("\n\n\n", "\n\n\n\n"),
    lambda text: text.replace("np.float64(rate * 2)", "np.float64(\n        (rate * 2),\n    )"),
    lambda text: text.replace('"""One step."""', "'One step.'\n    pass"),
    lambda text: text + "\n\n...\n",
]
MEANING = [
    lambda text: text.replace("* 2", "* 3"),
    lambda text: text.replace("* 2", "* 2.0"),
    lambda text: text.replace("rate", "speed"),
    lambda text: text.replace("import numpy as np\n", "import math\nimport numpy as np\n"),
    lambda text: text.replace("rate: float", "rate: float = 1.0"),
    lambda text: text + "\n\nNAME = 'One step.'\n",
]


@pytest.mark.parametrize("edit", LAYOUT)
def test_comments_docstrings_and_layout_change_nothing(root: Path, edit: Callable[[str], str]) -> None:
    assert not edited(root, "src/genfoundry/loop.py", edit)


@pytest.mark.parametrize("edit", MEANING)
def test_what_runs_changes_it(root: Path, edit: Callable[[str], str]) -> None:
    assert edited(root, "src/genfoundry/loop.py", edit)


def test_a_body_of_a_docstring_alone_equals_an_empty_one() -> None:
    bodies = ('"""Words."""', "...", "pass", '"""Words."""\n    ...')
    assert len({syntax.parse(f"class A:\n    {body}\n".encode()).tree for body in bodies}) == 1
    assert syntax.parse(b"def f(): return 1").tree != syntax.parse(b"def f(): 1").tree


def test_strings_that_are_values_count() -> None:
    one, other = (syntax.parse(f"x = {text!r}\n".encode()).tree for text in ("a", "b"))
    assert one != other
    assert syntax.parse(b"x = None").tree != syntax.parse(b"x: None").tree
    assert syntax.parse(b"x = 1").tree != syntax.parse(b"x = True").tree


def test_lazy_imports_count_and_those_of_a_type_checker_do_not(root: Path) -> None:
    loop = root / "src/genfoundry/loop.py"
    write(loop, "def f():\n    try:\n        from genfoundry.late import LATE\n    finally:\n        pass\n")
    assert "src/genfoundry/late.py" in closure(root)
    assert edited(root, "src/genfoundry/late.py", lambda text: text.replace("1", "2"))
    write(loop, "import typing\nif typing.TYPE_CHECKING:\n    from genfoundry import typed\nelse:\n    x = 1\n")
    assert "src/genfoundry/typed.py" not in closure(root)
    assert not edited(root, "src/genfoundry/loop.py", lambda text: text.replace("import typed", "import late"))
    assert edited(root, "src/genfoundry/loop.py", lambda text: text.replace("x = 1", "x = 2"))


def test_relative_imports_and_names_in_calls_are_followed(root: Path) -> None:
    write(root / MODEL, "from ..late import LATE\nfrom . import other\n")
    write(root / "src/genfoundry/models/other.py", "import importlib\nimportlib.import_module('genfoundry.typed')\n")
    names = {"models/vae.py", "models/other.py", "late.py", "typed.py"}
    assert {f"src/genfoundry/{name}" for name in names} <= closure(root, MODEL)


def test_names_made_at_run_time_are_not_followed(root: Path) -> None:
    write(root / STAGE, "import importlib\nname = 'vae'\nimportlib.import_module(f'genfoundry.models.{name}')\n")
    assert closure(root, STAGE) == STAGES


@pytest.mark.parametrize("path", sorted(code_digest.MACHINERY))
def test_machinery_is_neither_counted_nor_followed(root: Path, path: str) -> None:
    file = path if path.endswith(".py") else f"{path}/part.py"
    name = file.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    write(root / file, "from genfoundry import late\n")
    write(root / STAGE, f"import {name}\n")
    assert closure(root, STAGE) <= STAGES | {"src/genfoundry/__init__.py", "src/genfoundry/data/__init__.py"}
    before = digest(root)
    write(root / file, "this is not Python\n")
    assert digest(root) == before
    with pytest.raises(UserError, match="expected a file of science code"):
        digest(root, Path(file))


def test_every_machinery_path_exists() -> None:
    assert [path for path in code_digest.MACHINERY if not (ROOT / path).exists()] == []


def test_what_is_left_out_is_neither_counted_nor_followed(root: Path) -> None:
    write(root / STAGE, "from genfoundry import loop\n")
    write(root / "src/genfoundry/loop.py", "from genfoundry import late\n")
    left = (Path("src/genfoundry/loop.py"),)
    assert closure(root, STAGE, leave_out=left) == STAGES | {"src/genfoundry/__init__.py"}
    assert digest(root, STAGE, leave_out=left) != digest(root, STAGE)
    write(root / "src/genfoundry/late.py", "LATE = 2\n")
    one = digest(root, STAGE, leave_out=left)
    write(root / "src/genfoundry/late.py", "LATE = 3\n")
    assert digest(root, STAGE, leave_out=left) == one


def test_order_and_form_of_the_starts_change_nothing(root: Path) -> None:
    assert digest(root, STAGE, MODEL) == digest(root, root / MODEL, root / STAGE)
    assert digest(root, STAGE) != digest(root, MODEL)


def test_a_renamed_file_counts(root: Path) -> None:
    before = digest(root, MODEL)
    (root / MODEL).rename(root / "src/genfoundry/models/vae2.py")
    assert digest(root, Path("src/genfoundry/models/vae2.py")) != before


@pytest.mark.parametrize("start", ["src/genfoundry/models/gone.py", "pipeline/stages", "src"])
def test_a_start_that_is_no_file_is_refused(root: Path, start: str) -> None:
    with pytest.raises(UserError, match="expected a file of science code"):
        digest(root, Path(start))


def test_a_file_that_is_no_python_is_one_line(root: Path) -> None:
    write(root / MODEL, "def\n")
    with pytest.raises(UserError, match=r"^src/genfoundry/models/vae.py: not Python: .*$"):
        digest(root)


def test_one_object_reads_a_file_once_and_a_new_one_sees_an_edit(root: Path) -> None:
    code = Code(root)
    before = code.digest([MODEL])
    write(root / MODEL, "import torch\n\nWIDTH = 4\n")
    assert code.digest([MODEL]) == before != Code(root).digest([MODEL])


def test_the_cache_is_only_a_cache(root: Path) -> None:
    before, cache = digest(root), root / paths.SYNTAX
    assert cache.exists() and digest(root) == before
    cache.write_text("{")
    assert digest(root) == before
    cache.write_text('{"version": "another", "files": {}}')
    assert digest(root) == before


def test_a_known_file_is_not_parsed_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, parsed, parse = digest(root), [], syntax.parse
    monkeypatch.setattr(syntax, "parse", lambda content: parsed.append(content) or parse(content))
    assert digest(root) == before and not parsed
    write(root / MODEL, "import torch\n\nWIDTH = 4\n")
    assert digest(root) != before and len(parsed) == 1


def test_two_processes_agree_whatever_their_hash_seed(root: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pipeline.orchestration import code_digest\n"
        "print(code_digest.Code(Path(sys.argv[1])).digest([Path(p) for p in sys.argv[2:]]))"
    )

    def other(seed: str) -> str:
        (root / paths.SYNTAX).unlink(missing_ok=True)
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT}/src:{ROOT}"}
        command = [sys.executable, "-c", script, str(root), str(STAGE), str(MODEL)]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()

    assert other("1") == other("2") == digest(root)


def test_versions_count_where_a_library_is_imported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.13.0+cpu", "numpy": "2.4.6"}
    monkeypatch.setattr(libraries, "installed", lambda name: libraries.public(versions.get(name, "")))
    torch, numpy = Path("src/genfoundry/models/vae.py"), Path("src/genfoundry/loop.py")
    before = digest(root, torch), digest(root, numpy)
    versions["torch"] = "2.13.0+cu130"
    assert (digest(root, torch), digest(root, numpy)) == before
    versions["torch"] = "2.14.0"
    assert digest(root, torch) != before[0] and digest(root, numpy) == before[1]


def test_an_edited_pin_counts_like_an_upgrade(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.13.0", "numpy": "2.4.6"}
    monkeypatch.setattr(libraries, "installed", lambda name: versions.get(name, ""))
    torch, numpy, lock = MODEL, Path("src/genfoundry/loop.py"), root / libraries.LOCK
    before = digest(root, torch), digest(root, numpy)
    write(lock, "numpy==2.4.6\ntorch==2.13.0  # pinned\npydantic==2.0\n")
    assert (digest(root, torch), digest(root, numpy)) == before, "a lock that says what is installed changes nothing"
    assert libraries.mismatches(root) == []
    write(lock, "numpy==2.4.6\ntorch==2.14.0\npydantic==2.1\n")
    assert digest(root, torch) != before[0] and digest(root, numpy) == before[1]
    assert libraries.versions(["torch"], libraries.locked(root)) == ["torch==2.13.0 (locked: 2.14.0)"]
    assert libraries.mismatches(root) == ["torch: 2.13.0 is installed, requirements.lock has 2.14.0; run `make setup`"]


def test_a_library_counts_with_what_it_computes_with() -> None:
    names = {line.partition("==")[0] for line in libraries.versions(["sklearn", "os", "pydantic"], {})}
    assert {"scikit-learn", "scipy", "numpy"} == names
    assert "pyarrow" in {line.partition("==")[0] for line in libraries.versions(["pandas"], {})}


def test_every_numeric_library_is_installed_under_its_name() -> None:
    assert [name for name in libraries.LIBRARIES.values() if not libraries.installed(name)] == []


def test_what_science_imports_is_a_numeric_library_or_known_to_be_none() -> None:
    """A new dependency must be put on one side: can an upgrade change a number or a byte of an output?"""
    others = {"pydantic", "yaml", "jinja2", "psutil", "genfoundry", "pipeline", "dvc", "dvc_data", "dpath"}
    imported = set()
    for folder in ("src/genfoundry", "pipeline/stages"):
        for path in (ROOT / folder).rglob("*.py"):
            if not code_digest.is_machinery(path.relative_to(ROOT).as_posix()):
                imported |= {name.split(".")[0] for name in syntax.parse(path.read_bytes()).imports}
    assert imported - sys.stdlib_module_names - {"__future__"} - set(libraries.LIBRARIES) - others == set()
    assert set(libraries.LIBRARIES) - imported <= {"pyarrow"}
