"""What an edit of a file changes the digest of, over the real sources: copies of them in which one file is edited."""

from __future__ import annotations

import ast
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from genfoundry.objectives import OBJECTIVES
from pipeline.orchestration import code_starts
from pipeline.orchestration.code_digest import MACHINERY, Code, is_machinery

ROOT = Path(__file__).parents[2]
MODALITIES = ("images", "text", "lines", "series", "video", "pairs")
MODELS = {"images": "vae", "text": "char_rnn", "lines": "text_vae", "series": "linear_ar", "video": "video_pixel"}
MODELS |= {"pairs": "bytenet"}
TUNED = {"images": "bits_per_dim", "text": "nats_per_char", "lines": "nats_per_sample", "series": "mase"}
TUNED |= {"video": "nats_per_frame", "pairs": "chrf"}
JUDGE = ["judge"]


def starts() -> dict[str, tuple[list[Path], list[Path]]]:
    """Unit -> the files that its digest starts from, and those that it leaves out: one of each stage and modality."""
    found = {"judge@images": code_starts.find_starts("judge", "images", JUDGE)}
    for modality, model in MODELS.items():
        judge = JUDGE if modality == "images" else []
        needs = OBJECTIVES[TUNED[modality]].needs
        found |= {
            f"prepare@{modality}": code_starts.find_starts("prepare", modality),
            f"baseline@{modality}": code_starts.find_starts("baseline", modality, judge, None, ROOT),
            f"train@{modality}": code_starts.find_starts("train", modality, [model]),
            f"tune@{modality}": [*code_starts.find_starts("train", modality, [model], needs), code_starts.TUNING],
            f"evaluate@{modality}": code_starts.find_starts("evaluate", modality, [model, *judge], None, ROOT),
        }
    return {unit: (files, _left_out(unit.partition("@")[0])) for unit, files in found.items()}


def _left_out(stage: str) -> list[Path]:
    return [code_starts.TUNING] if stage == "train" else []


STARTS = starts()


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("src/genfoundry", "pipeline"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def before(copy: Path) -> dict[str, str]:
    return digests(copy)


def digests(root: Path) -> dict[str, str]:
    code = Code(root)
    return {unit: code.digest(*of) for unit, of in STARTS.items()}


def changed(copy: Path, before: dict[str, str], file: str, text: str = "\nEDITED = 1\n") -> set[str]:
    """The units whose digest an edit changes; the file is as before again."""
    path = copy / file
    kept = path.read_bytes()
    try:
        path.write_bytes(kept + text.encode())
        after = digests(copy)
    finally:
        path.write_bytes(kept)
    return {unit for unit in STARTS if after[unit] != before[unit]}


def units(*stages: str, of: tuple[str, ...] = MODALITIES) -> set[str]:
    return {unit for unit in STARTS if unit.partition("@")[0] in stages and unit.partition("@")[2] in of}


USES = ("baseline", "train", "tune", "evaluate")  # what is done with prepared data
ONLY = {  # file, in src/genfoundry -> the units whose digest an edit changes
    "data/series.py": units("prepare", of=("series",)),
    "data/table.py": units("prepare", of=("series",)),
    "data/text.py": units("prepare", of=("text",)),
    "data/lines.py": units("prepare", of=("lines",)),
    "data/pairs.py": units("prepare", of=("pairs",)),
    "data/images.py": units("prepare", of=("images",)),
    "data/video.py": units("prepare", of=("video",)),
    "data/volumes.py": units("prepare", of=("images", "video")),  # a video shows images
    "data/documents.py": units("prepare", of=("text", "lines", "pairs")),
    "data/grouping.py": units("prepare"),
    "data/preparation.py": units("prepare"),
    "data/splits/series.py": units("prepare", *USES, of=("series",)),
    "data/splits/text.py": units(*USES, of=("text",)),
    "data/splits/video.py": units(*USES, of=("video",)),
    "data/splits/pairs.py": units(*USES, of=("pairs",)),
    "data/splits/images.py": units("judge", *USES, of=("images",)),
    "models/vae.py": units("train", "tune", "evaluate", of=("images",)),
    "models/bytenet.py": units("train", "tune", "evaluate", of=("pairs",)),
    "models/judge.py": units("judge", "baseline", "evaluate", of=("images",)),
    "models/made.py": set(),
    "nn/kalman.py": units("train", "tune", "evaluate", of=("series",)),
    "train.py": units("judge", *USES),  # evaluation trains classifiers on samples
    "session.py": units("judge", "train", "tune"),
    "tune.py": units("tune"),
    "objectives.py": units("baseline", "tune", "evaluate"),
    "answers/forecast.py": units("tune", of=("series",)) | units("baseline", "evaluate"),
    "answers/translation.py": units("tune", of=("pairs",)) | units("baseline", "evaluate"),
    "answers/restoration.py": units("baseline", "evaluate"),
    "abilities/anomaly.py": units("baseline", "evaluate"),
    "abilities/figures.py": units("baseline", "evaluate"),
    "classical_restoration.py": units("baseline", "evaluate"),
    "bootstrap.py": units("baseline", "evaluate"),
    "distances.py": units("baseline", "evaluate"),
    "yardstick.py": units("baseline", "evaluate"),
    "panels.py": units("baseline", "evaluate"),
    "baselines/series.py": units("baseline", "evaluate", of=("series",)),
    "baselines/images.py": units("baseline", "evaluate", of=("images",)),
    "tracking/live.py": set(),
    "reporting/report.py": set(),
    "reporting/site/board.py": set(),
    "serving/serve.py": set(),
    "onboarding/propose.py": set(),
    "data/fetch/catalog.py": set(),
    "data/fetch/download.py": set(),
    "data/fetch/local.py": set(),
    "validate.py": set(),
    "rank.py": set(),
    "promote.py": set(),
}


@pytest.mark.parametrize("file", ONLY)
def test_an_edit_changes_what_runs_the_file_and_nothing_else(file: str, copy: Path, before: dict[str, str]) -> None:
    assert changed(copy, before, f"src/genfoundry/{file}") == ONLY[file]


@pytest.mark.parametrize("stage", ["prepare", "judge", "baseline", "train", "evaluate"])
def test_a_stages_own_file_changes_its_units(stage: str, copy: Path, before: dict[str, str]) -> None:
    own = units(stage) | (units("tune") if stage == "train" else set())
    assert changed(copy, before, f"pipeline/stages/{stage}.py") == own


@pytest.mark.parametrize(
    "file", ["pipeline/__main__.py", "pipeline/orchestration/syntax.py", "pipeline/commands/ui.py"]
)
def test_orchestration_and_commands_change_nothing(file: str, copy: Path, before: dict[str, str]) -> None:
    assert changed(copy, before, file) == set()


def test_a_comment_or_docstring_anywhere_changes_nothing(copy: Path, before: dict[str, str]) -> None:
    """Every file at once: a comment at its end, and its docstring another."""
    kept = {path: path.read_bytes() for path in copy.rglob("*.py")}
    try:
        for path, content in kept.items():
            begin = content.find(b'"""') + 3
            path.write_bytes(content[:begin] + b"Edited. " * content.startswith(b'"""') + content[begin:] + b"\n# x\n")
        assert digests(copy) == before
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


def test_science_imports_no_machinery() -> None:
    """The wall between the halves, over every file: but for what is not moved behind it yet."""
    wrong = []
    for path in sorted((ROOT / "src/genfoundry").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not is_machinery(name):
            wrong += [f"{name} imports {target}" for target in _packages(path) if _is_behind_the_wall(target)]
    assert wrong == []


def _is_behind_the_wall(target: str) -> bool:
    path = target.replace(".", "/").replace("genfoundry", "src/genfoundry", 1)
    return target.startswith("pipeline") or is_machinery(path) or f"{path}.py" in MACHINERY


def _packages(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


BY_NAME = {  # where a module's name is made at run time: `code_starts` names the module, or nothing is imported
    ("src/genfoundry/answers/__init__.py", "importlib.import_module(f'genfoundry.answers.{name}')"),
    ("src/genfoundry/baselines/base.py", "importlib.import_module(f'genfoundry.baselines.{modality}')"),
    ("src/genfoundry/baselines/base.py", "importlib.util.find_spec(f'genfoundry.baselines.{modality}')"),
    ("src/genfoundry/data/base.py", "importlib.import_module(f'genfoundry.data.splits.{modality}')"),
    ("src/genfoundry/data/preparation.py", "importlib.import_module(f'genfoundry.data.{name}')"),
    ("src/genfoundry/models/__init__.py", "importlib.import_module(f'genfoundry.models.{name}')"),
}


def test_every_import_by_a_name_made_at_run_time_is_known() -> None:
    found = set()
    for folder in ("src/genfoundry", "pipeline/stages"):
        for path in (ROOT / folder).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            if not is_machinery(name):
                found |= {(name, call) for call in _calls_by_name(path)}
    assert found == BY_NAME, "code_starts.py must name what such a call imports"


def _calls_by_name(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call) and node.args and not isinstance(node.args[0], ast.Constant):
            call = ast.unparse(node.func).rpartition(".")[2]
            if call in ("import_module", "find_spec", "__import__", "run_module", "run_path"):
                yield ast.unparse(node)


def test_the_starts_are_files() -> None:
    assert [path for of, left in STARTS.values() for path in (*of, *left) if not (ROOT / path).is_file()] == []
    assert (ROOT / "src/genfoundry/data/splits").is_dir()
    names = {path.stem for path in (ROOT / "src/genfoundry/data/splits").glob("*.py")} - {"__init__"}
    assert names == set(MODALITIES)


@pytest.mark.parametrize("unit", ["prepare@series", "train@images", "evaluate@text"])
def test_the_closure_holds_what_python_imports(unit: str) -> None:
    """Against Python itself: every science file that importing the starts loads is in the closure."""
    import subprocess

    of, left = STARTS[unit]
    names = [path.with_suffix("").as_posix().removeprefix("src/").replace("/", ".") for path in of]
    script = (
        "import sys, importlib\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
        "print('\\n'.join(m.__file__ for n, m in list(sys.modules.items()) "
        "if n.split('.')[0] in ('genfoundry', 'pipeline') and getattr(m, '__file__', None)))"
    )
    done = subprocess.run([sys.executable, "-c", script, *names], cwd=ROOT, capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": f"{ROOT}/src:{ROOT}"})  # fmt: skip
    loaded = {Path(line).resolve().relative_to(ROOT).as_posix() for line in done.stdout.splitlines()}
    closure = {path.as_posix() for path in Code(ROOT).closure(of, {code_starts.TUNING} & set(left))}
    assert {name for name in loaded if not is_machinery(name)} <= closure
