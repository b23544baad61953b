"""A task's margin is what the training seeds of its best model ask for, measured on val, with today's settings."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from genfoundry.config.skipping import find_skipped
from genfoundry.selection import margins
from pipeline.orchestration import resolve

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "bench"))

import spread_entries as spread  # noqa: E402

PARAMS = resolve.load_params(ROOT / "params.yaml")
SKIPPED = find_skipped(PARAMS)  # has no training at this budget to measure
FOUND = spread.read_entries()


@pytest.mark.parametrize("name", [name for name in PARAMS.tasks if name not in SKIPPED["tasks"]])
def test_a_margin_is_above_what_seeds_change(name: str) -> None:
    """Fails on what is out of date, with the command that measures it."""
    task = PARAMS.tasks[name]
    own = [n for n, entry in PARAMS.experiments.items() if entry.task == name and n not in SKIPPED["experiments"]]
    fresh = spread.rank_measured(task, PARAMS, FOUND)
    old = [f"{n}: {why}" for n in own if (why := spread.find_fault(n, FOUND.get(n)))]
    command = f"PYTHONPATH=src:. python bench/spread.py {' '.join(own)}"
    assert len(fresh) >= min(spread.BEST, len(own)), f"bench/spread.json: {'; '.join(old)}; run `{command}`"
    for best in fresh[: spread.BEST]:
        need = spread.compute_margin(FOUND[best], task.objective)
        assert task.margin >= need, f"tasks.{name}.margin: {task.margin}, but the seeds of {best} ask for {need:.3g}"


def entry(name: str, *values: float) -> spread.Entry:
    """An entry as bench/spread.py would write it now."""
    new: spread.Entry = {"budget": "quick", "overlay": {"train.lr.model": 0.004}, "split": "val"}
    new["settings"] = spread.hash_settings(*spread.load_experiment(name, new))
    return new | {"values": {"bits_per_dim": list(values)}}


def test_an_entry_is_out_of_date_when_what_it_measures_changes(tmp_path: Path) -> None:
    text, name = (ROOT / "params.yaml").read_text(encoding="utf-8"), "vae-fashion"
    assert spread.find_fault(name, None) == "not measured"
    now = entry(name, 3.5, 3.6, 3.7)
    assert spread.find_fault(name, now) is None
    assert "measured on test" in str(spread.find_fault(name, {**now, "split": "test"}))
    assert spread.find_fault(name, {**now, "budget": "smoke"}) == "measured at budget smoke, not quick"
    assert "not recorded" in str(spread.find_fault(name, {**now, "settings": None}))

    def changed(old: str, new: str) -> str | None:
        assert old in text
        (tmp_path / "params.yaml").write_text(text.replace(old, new), encoding="utf-8")
        return spread.find_fault(name, now, tmp_path)

    hyper = "hyper: {latent: 32, detail: 8, width: 32, mixtures: 5}"
    assert changed(hyper, hyper.replace("mixtures: 5", "mixtures: 6")) == "params.yaml has other settings now"
    assert changed("seed: 20", "seed: 21") == "params.yaml has other settings now"
    assert changed("split: {val: 0.05, gate: 0.05, test: 0.1}\n    expect", "split: {val: 0.06}\n    expect")
    assert "no longer allows" in str(changed(hyper, hyper.replace("latent", "no_such")))
    margin = next(line for line in text.splitlines() if "objective: bits_per_dim, levels: 256" in line)
    assert changed(margin, margin.replace("margin: ", "margin: 1")) is None
    assert changed("  smoke: {trials: 2", "  smoke: {trials: 3") is None


def test_the_best_on_val_bounds_the_margin() -> None:
    entries = {"vae-fashion": entry("vae-fashion", 3.5, 3.6, 3.7), "made-fashion": entry("made-fashion", 3.1)}
    entries["vae-fashion-global"] = entry("vae-fashion-global", 1.0, 9.0, 20.0)
    task = PARAMS.tasks["fashion-density"].model_copy(update={"margin": 0.5})
    assert spread.rank_measured(task, PARAMS, entries) == ["made-fashion", "vae-fashion", "vae-fashion-global"]
    assert spread.compute_margin(entries["made-fashion"], "bits_per_dim") == 0.0  # one training: closed form
    assert spread.compute_margin(entries["vae-fashion"], "bits_per_dim") == pytest.approx(
        0.1 * margins.dunnett_critical_value(3)
    )
    table = spread.format_table(PARAMS.model_copy(update={"tasks": {"fashion-density": task}}), entries)
    assert table == ["fashion-density: margin 0.5; asked for: made-fashion 0 ok"]
    table = spread.format_table(
        PARAMS.model_copy(update={"tasks": {"fashion-density": task}}), {"vae-fashion": entries["vae-fashion"]}
    )
    assert table == ["fashion-density: margin 0.5; asked for: vae-fashion 1.1 TOO SMALL"]
    binary = PARAMS.tasks["fashion-binary"]
    assert spread.rank_measured(binary, PARAMS, entries) == []


def test_a_comment_is_no_other_code_and_a_number_is(tmp_path: Path) -> None:
    file = tmp_path / "src/genfoundry/models/tiny.py"
    file.parent.mkdir(parents=True)
    digests = []
    for text in ('"""Old."""\nx = 1\n', '"""New."""\n# why\nx = 1\n', '"""New."""\nx = 2\n'):
        file.write_text(text)
        digests.append(spread.hash_code("tiny", tmp_path))
    assert digests[0] == digests[1] != digests[2]
