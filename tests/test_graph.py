"""The stages of dvc.yaml: what they depend on, and the digest of that."""

from __future__ import annotations

from pathlib import Path

from genfoundry import graph

ROOT = Path(__file__).parent.parent
STAGES = graph.stages(ROOT)


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
