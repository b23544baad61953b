"""Data of one's own, from `make init` to ranked models: photographs of mixed sizes, a MedMNIST file, a gappy series."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import user_files
import yaml
from site_of import ROOT, call, command, good, pipeline

from pipeline.commands import smoke as smoke_stage

pytestmark = pytest.mark.e2e
KEPT = {"vae-shapes": "shapes-density", "dcgan-med": "med-samples", "linear-ar-weather": "weather-forecast"}


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with no data sets but what `init` wrote, in which the pipeline has run."""
    folder = tmp_path_factory.mktemp("own")
    data = [user_files.photographs(folder / "shapes", classes=False, low=30, high=44)]
    data += [user_files.medmnist(folder / "med.npz"), user_files.weather(folder / "weather.csv")]
    (folder / "site").mkdir()
    site = smoke_stage.prepare(ROOT, folder / "site")
    params = site / "params.yaml"
    head = params.read_text().partition("datasets:")[0].replace("{trials: 2,", "{trials: 0,")
    params.write_text(head + "datasets: {}\n\ntasks: {}\n\nexperiments: {}\n")
    for path in data:
        said = good(pipeline("init", str(path), root=site))
        assert "next: make plan" in said and f"data/inbox/{path.stem}/" in said
    assert "vae-med" in good(command("plan", root=site))
    trimmed = yaml.safe_load(params.read_text())  # one experiment a data set: the rest is the time of this test
    trimmed["experiments"] = {name: trimmed["experiments"][name] for name in KEPT}
    trimmed["tasks"] = {name: trimmed["tasks"][name] for name in KEPT.values()}
    params.write_text(yaml.safe_dump(trimmed, sort_keys=False))
    good(call("dvc", "repro", root=site))
    return site


def test_every_data_set_ends_in_figures_and_a_ranking(site: Path) -> None:
    objectives = {
        "vae-shapes": ("bits_per_dim", "frechet"),
        "dcgan-med": ("frechet",),
        "linear-ar-weather": ("mae", "nats"),
    }
    for experiment, task in KEPT.items():
        (card,) = (site / "reports/scores").glob(f"*/{experiment}/card.json")
        figures = read(card)["figures"]["test"]
        assert all(math.isfinite(figures[name]) for name in objectives[experiment]), figures
        assert [c["experiment"] for c in read(site / f"reports/ranking/{task}.json")["candidates"]] == [experiment]
        assert list((site / f"reports/panels/{experiment}").glob("*.png"))
        assert experiment in (site / "reports/leaderboard.md").read_text()


def test_photographs_became_what_was_declared(site: Path) -> None:
    meta = read(site / "data/prepared/shapes/arrays/spec.json")
    assert meta["spec"]["shape"] == [3, 32, 32] and meta["spec"]["classes"] == 0
    assert sum(meta["counts"].values()) == 200
    assert read(site / "models/experiments/vae-shapes/model.json")["meta"]["declared"] == {
        "size": [32, 32],
        "colour": "rgb",
    }


def test_a_published_test_split_is_kept(site: Path) -> None:
    counts = read(site / "data/prepared/med/arrays/spec.json")["counts"]
    assert counts["test"] == 40 and sum(counts.values()) == 230


def test_the_verdict_counts_what_was_filled(site: Path) -> None:
    verdict = read(site / "reports/validation/weather.json")
    seen = {e["column"]: e["observed"] for e in verdict["expectations"]}
    days, empty = [t for t in range(300) if t % 37 != 5], [t for t in range(300) if t % 37 != 5 and t % 29 == 3]
    assert seen["filled"] == len(empty) + 2 * (300 - len(days)) and seen["dropped"] == 0
    assert verdict["success"] and sum(verdict["rows"].values()) == 300


def test_a_name_is_given_once(site: Path) -> None:
    before = (site / "params.yaml").read_bytes()
    done = pipeline("init", str(site.parent / "weather.csv"), root=site)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "datasets: 'weather' is taken; choose another with NAME=..." in done.stderr
    assert (site / "params.yaml").read_bytes() == before


def test_pairs_can_be_validated(site: Path) -> None:
    path = user_files.translations(site.parent / "pairs.tsv")
    assert "next: make plan" in good(pipeline("init", str(path), "olde", root=site))
    good(call("dvc", "repro", "validate@olde", root=site))
    assert read(site / "reports/validation/olde.json")["success"]
