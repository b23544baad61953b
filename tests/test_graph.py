"""Each stage depends on what it runs: the digests in code.json follow the import graph, and nothing but it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genfoundry import graph, imports
from pipeline import code

ROOT = Path(__file__).parent.parent
STAGES = graph.stages(ROOT)


CODE = code.digests(ROOT)


def names(paths: set[Path]) -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in paths}


@pytest.mark.parametrize("stage", sorted({name.partition("@")[0] for name in STAGES}))
def test_the_closure_holds_what_a_stage_really_imports(stage: str) -> None:
    """Against Python itself: every module of the project's that the stage's file loads is in its closure."""
    script = (
        f"import sys, importlib; importlib.import_module('pipeline.{stage}'); import pipeline.__main__\n"
        "print([m.__file__ for n, m in sys.modules.items() if n.split('.')[0] in ('genfoundry', 'pipeline')"
        " and getattr(m, '__file__', None)])"
    )
    env = {**os.environ, "PYTHONPATH": "src"}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    loaded = {Path(file).resolve() for file in ast.literal_eval(done.stdout.splitlines()[-1])}
    held = imports.closure(ROOT, ROOT / f"pipeline/{stage}.py", ROOT / "pipeline/__main__.py")
    assert names(loaded) <= names(held)


def test_lazy_and_made_up_imports_are_held_and_typing_ones_are_not() -> None:
    fetch = names(imports.closure(ROOT, ROOT / "pipeline/fetch.py"))
    prepare = names(imports.closure(ROOT, ROOT / "pipeline/prepare.py"))
    assert "src/genfoundry/data/transport.py" in fetch
    assert "src/genfoundry/train.py" not in fetch
    assert {"src/genfoundry/data/images.py", "src/genfoundry/data/text.py"} <= prepare  # chosen by name at run time
    train = names(imports.closure(ROOT, ROOT / "pipeline/train.py"))
    assert {"src/genfoundry/train.py", "src/genfoundry/models/base.py", "src/genfoundry/tracking/live.py"} <= train
    assert not [
        name for name in train if Path(name).parent.name == "models" and Path(name).stem not in ("base", "__init__")
    ]


def test_every_stage_declares_its_code() -> None:
    for stage in STAGES.values():
        kind = stage.name.partition("@")[0]
        own = {key for file, key in stage.params if file == "reports/code.json"}
        assert stage.always or kind == "code" or f"stages.{kind}" in own, stage.name
        if kind in ("tune", "train", "evaluate"):
            assert len([key for key in own if key.startswith("models.")]) == 1, stage.name


@pytest.mark.parametrize(
    ("edited", "touched"),
    [
        ("src/genfoundry/models/vae.py", {"models.vae"}),
        ("src/genfoundry/models/judge.py", {"models.judge", "judges.brain", "judges.fashion", "judges.photos"}),
        ("src/genfoundry/tune.py", {"stages.tune"}),
        ("src/genfoundry/nn/recurrent.py", {"models.char_rnn", "models.char_seq2seq", "models.text_vae"}),
        ("pipeline/train.py", {"stages.train"}),
    ],
)
def test_an_edit_touches_what_imports_the_file_and_nothing_else(edited: str, touched: set[str], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for folder in ("src", "pipeline"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for file in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / file, copy / file)
    assert code.digests(copy) == CODE
    imports._imported.cache_clear()
    with (copy / edited).open("a") as file:
        file.write("# edited\n")
    after = code.digests(copy)
    found = {f"{kind}.{name}" for kind in CODE for name in CODE[kind] if CODE[kind][name] != after[kind][name]}
    assert found == touched


def test_a_stage_depends_on_what_earlier_stages_write() -> None:
    outs = {out for stage in STAGES.values() for out in stage.outs}
    for stage in STAGES.values():
        for dep in stage.deps:
            if dep.startswith(("data/raw", "data/prepared", "models/", "reports/")):
                covered = any(
                    out == dep or Path(dep) in Path(out).parents or Path(out) in Path(dep).parents for out in outs
                )
                assert covered, f"{stage.name}: nothing writes {dep}"


def test_the_digest_follows_dependencies_and_parameters(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("1")
    (tmp_path / "dvc.yaml").write_text(
        "stages: {t: {foreach: '${e}', do: {cmd: 'run ${key} ${item.m}', deps: [src], params: [seed], outs: [o]}}}"
    )

    def digest(seed: int) -> str:
        (tmp_path / "params.yaml").write_text(f"seed: {seed}\nother: {seed}\ne: {{x: {{m: 7}}}}\n")
        return graph.digest(graph.stages(tmp_path)["t@x"], tmp_path)

    first = digest(1)
    assert graph.stages(tmp_path)["t@x"].cmd == "run x 7"
    assert digest(1) == first
    assert digest(2) != first
    (tmp_path / "src/__pycache__").mkdir()
    (tmp_path / "src/__pycache__/a.pyc").write_text("junk")
    assert digest(1) == first
    (tmp_path / "src/a.py").write_text("2")
    assert digest(1) != first
