"""Data of the user's own never lie where the pipeline writes: DVC removes a stage's outs before it runs the stage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from genfoundry.errors import UserError
from pipeline.commands import init
from pipeline.orchestration import compiler, reserved_folders, resolve
from pipeline.stages import plan

ROOT = Path(__file__).parents[2]


def test_every_out_is_in_a_reserved_folder() -> None:
    params = resolve.load_params(ROOT / "params.yaml")
    units = compiler.compile_units(ROOT, params, dict.fromkeys(params.datasets, ""))
    outs = [out for unit in units for out in unit.outputs]
    assert outs
    assert [out for out in outs if not any(Path(folder) in Path(out).parents for folder in reserved_folders.OUTS)] == []


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("data/raw/mine", "is in data/raw/"),
        ("data/raw", "is in data/raw/"),
        ("./data/../data/prepared/x", "is in data/prepared/"),
        ("data/inbox/mine/a.csv", "is in data/inbox/"),
        ("models/experiments/x", "is in models/"),
        ("reports", "is in reports/"),
        (".dvc/cache", "is in .dvc/"),
        (".state/x", "is in .state/"),
        ("data", "holds data/raw/"),
        (".", "holds "),
        ("..", "holds "),
        ("link", "is in data/raw/"),
    ],
)
def test_a_path_of_the_pipeline_is_refused(path: str, word: str, tmp_path: Path) -> None:
    (tmp_path / "data/raw/mine").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data/raw/mine")
    with pytest.raises(UserError, match=f"^DATA: {path} {word}.*expected") as refused:
        reserved_folders.check_source_path(path, tmp_path, "DATA")
    assert "\n" not in str(refused.value)
    with pytest.raises(UserError):
        reserved_folders.check_source_path((tmp_path / path).as_posix(), tmp_path, "DATA")


@pytest.mark.parametrize("path", ["data/mine", "mine", "../elsewhere", "data/rawer", "modelsets", "/nowhere/data/raw"])
def test_other_paths_are_taken(path: str, tmp_path: Path) -> None:
    reserved_folders.check_source_path(path, tmp_path / "repository", "DATA")


RAW = [
    {"path": "data/raw/mine"},
    {"files": [{"name": "a", "sha256": "0" * 64, "places": ["https://x/a", "file:data/raw/mine/a"]}]},
]


@pytest.mark.parametrize("raw", RAW)
def test_an_entry_written_by_hand_is_refused_before_any_out_is_removed(
    raw: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the stage `plan`, which comes before all others."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["datasets"]["mine"] = {"modality": "images", "raw": raw}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(UserError, match=r"params.yaml: datasets.mine.raw.*data/raw/mine.* is in data/raw/"):
        resolve.load_params(tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"params.yaml: datasets.mine.raw.*data/raw/mine.* is in data/raw/"):
        plan.compile_plan()
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_init_refuses_it_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "data/raw/mine").mkdir(parents=True)
    (tmp_path / "data/raw/mine/a.txt").write_text("a line\n" * 1000)
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "params.yaml").read_bytes()
    with pytest.raises(UserError, match="DATA: data/raw/mine is in data/raw/"):
        init.run("data/raw/mine")
    assert (tmp_path / "params.yaml").read_bytes() == before
    assert (tmp_path / "data/raw/mine/a.txt").exists()
