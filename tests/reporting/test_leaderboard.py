"""The leaderboard is a function of the cards, whatever their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genfoundry.evaluation.card import note_collapse
from genfoundry.files import read_json, write_json
from genfoundry.reporting import leaderboard


def card(root: Path, name: str, dataset: str = "fashion", levels: int | None = 256, **figures: Any) -> None:
    write_json(
        root / "scores" / dataset / name / "card.json",
        {
            **{"experiment": name, "model": "vae", "task": "t", "dataset": dataset, "levels": levels, "binarise": None},
            **{"likelihood": "bound", "digest": "d" * 64, "data": "e" * 64},
            "judge": {"digest": "f" * 64, "accuracy": 0.912},
            "figures": {"test": figures, "val": {}, "gate": {}},
        },
    )


def folder(root: Path) -> Path:
    card(
        root,
        "vae-fashion",
        bits_per_dim=3.6,
        bits_per_dim_low=3.58,
        bits_per_dim_high=3.62,
        nats=2.5,
        frechet=20.0,
        n=10000,
    )
    card(root, "gan-fashion", frechet=8.5, n=10000, frechet_n=2000)
    card(root, "ar-sunspots", "sunspots", None, mae=15.0, n=4)
    write_json(
        root / "baselines" / "fashion-density" / "card.json",
        {
            **{"task": "fashion-density", "dataset": "fashion", "levels": 256, "binarise": None, "data": "e" * 64},
            "rows": {
                "xz": {"role": "compressor", "likelihood": "bound", "figures": {"test": {"bits_per_dim": 3.87}}},
                "pixel-means": {"role": "ceiling", "likelihood": "none", "figures": {"test": {"frechet": 79.0}}},
            },
        },
    )
    write_json(root / "ranking" / "fashion-density.json", {"task": "d", "candidates": [{"experiment": "vae-fashion"}]})
    return root


def write(root: Path) -> None:
    leaderboard.write(root / "scores", root / "baselines", root / "ranking", root)


def test_rows_best_first_a_table_a_data_set(tmp_path: Path) -> None:
    write(folder(tmp_path))
    fashion, sunspots = read_json(tmp_path / "leaderboard.json")["tables"]
    assert [row["name"] for row in fashion["rows"]] == ["vae-fashion", "xz", "gan-fashion", "pixel-means"]
    assert fashion["columns"] == ["bits_per_dim", "frechet"]
    assert (fashion["n"], fashion["frechet_n"]) == (10000, 2000)
    assert fashion["rows"][0]["best_of"] == ["d"]
    assert sunspots["columns"] == ["mae"]


def test_a_column_says_how_many_items_it_is_of_and_in_how_many_groups(tmp_path: Path) -> None:
    few = {"restore_mask_psnr": 19.0, "restore_mask_psnr_n": 100, "restore_mask_psnr_groups": 100}
    grouped = {"bits_per_dim": 3.5, "bits_per_dim_n": 9000, "bits_per_dim_groups": 8}
    card(tmp_path, "vae-photos", "photos", **few, **grouped, accuracy=0.9, n=9000)
    write(tmp_path)
    (table,) = read_json(tmp_path / "leaderboard.json")["tables"]
    assert table["over"] == {
        "bits_per_dim": "9,000 items in 8 independent groups", "restore_mask_psnr": "100 items"}  # fmt: skip
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    assert "restore mask PSNR (dB, higher is better, 100 items)" in text
    assert "bits/dim (bits, lower is better, 9,000 items in 8 independent groups)" in text
    assert (
        leaderboard.format_items(1, 1) == "1 item"
        and leaderboard.format_items(5, 1) == "5 items in 1 independent group"
    )


def test_a_row_of_other_items_than_most_is_named(tmp_path: Path) -> None:
    for name, n in (("vae", 361), ("made", 361), ("xz", 1)):
        card(tmp_path, name, bits_per_dim=3.5, bits_per_dim_n=n, bits_per_dim_groups=n)
    write(tmp_path)
    (table,) = read_json(tmp_path / "leaderboard.json")["tables"]
    assert table["over"] == {"bits_per_dim": "361 items; 1 item (xz)"}


def test_an_interval_is_that_of_groups_or_none() -> None:
    assert leaderboard.interval({"mae": 1.0, "mae_low": 0.5, "mae_high": 1.5, "mae_stderr": 0.1}, "mae") == (0.5, 1.5)
    assert leaderboard.interval({"mae": 1.0, "mae_stderr": 0.1}, "mae") is None  # normal quantiles are for many groups


def test_a_trivial_model_of_two_tasks_has_the_figures_of_both(tmp_path: Path) -> None:
    folder(tmp_path)
    for damage, psnr in (("gaussian", 9.0), ("mask", 11.0)):
        figures = {"test": {f"restore_{damage}_psnr": psnr, f"restore_{damage}_ssim": 0.5}}
        row = {"role": "baseline", "likelihood": "none", "figures": figures}
        about = {"dataset": "fashion", "levels": 256, "binarise": None, "data": "e" * 64}
        write_json(tmp_path / "baselines" / damage / "card.json", {**about, "rows": {"identity": row}})
    write(tmp_path)
    table = read_json(tmp_path / "leaderboard.json")["tables"][0]
    assert table["columns"][-2:] == ["restore_gaussian_psnr", "restore_mask_psnr"]
    (row,) = [row for row in table["rows"] if row["name"] == "identity"]
    assert (row["figures"]["restore_gaussian_psnr"], row["figures"]["restore_mask_psnr"]) == (9.0, 11.0)


def test_markdown(tmp_path: Path) -> None:
    write(folder(tmp_path))
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    assert "## fashion, 256 levels" in text
    assert "| **vae-fashion** | experiment | bound | 3.6 ± 0.02 | 20 | d |" in text
    assert "| xz | compressor | bound | 3.87 | - |  |" in text
    assert "judge ffffffffffff (trained on classes, accuracy 91.2%)" in text


def test_what_the_best_on_val_loses_to_on_gate_is_said(tmp_path: Path) -> None:
    folder(tmp_path)
    path = tmp_path / "scores/fashion/vae-fashion/card.json"
    about = read_json(path)
    write_json(path, {**about, "figures": {**about["figures"], "gate": {"bits_per_dim": 3.6}}})
    path = tmp_path / "baselines/fashion-density/card.json"
    about = read_json(path)
    about["rows"]["xz"]["figures"]["gate"] = {"bits_per_dim": 3.5}
    write_json(path, about)
    ranking = {"task": "fashion-density", "objective": "bits_per_dim", "candidates": [{"experiment": "vae-fashion"}]}
    write_json(tmp_path / "ranking/fashion-density.json", ranking)
    write(tmp_path)
    (bar,) = read_json(tmp_path / "leaderboard.json")["tables"][0]["bars"]
    assert (bar["task"], [loss["name"] for loss in bar["loses_to"]]) == ("fashion-density", ["xz"])
    said = "vae-fashion, the best on val, cannot be its champion: on gate it loses to xz (3.5, by 0.1)."
    assert said in (tmp_path / "leaderboard.md").read_text(encoding="utf-8")


def test_a_collapsed_posterior_is_said(tmp_path: Path) -> None:
    assert note_collapse({"rate": 0.296, "nll": 50.0}, {}) == ["collapsed: rate 0.3 nats"]
    assert note_collapse({"rate": 1.0}, {}) == note_collapse({"nll": 50.0}, {}) == []
    assert note_collapse({"rate": 1.0}, {"collapse": "collapsed: samples ..."}) == ["collapsed: samples ..."]
    card(tmp_path, "text-vae", "lines", None, nats_per_sample=51.0, rate=0.3, n=9)
    path = tmp_path / "scores/lines/text-vae/card.json"
    write_json(path, {**read_json(path), "notes": ["collapsed: rate 0.3 nats"]})
    write(tmp_path)
    assert read_json(tmp_path / "leaderboard.json")["tables"][0]["columns"] == ["nats_per_sample"]
    text = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    assert "| **text-vae** (collapsed: rate 0.3 nats) | experiment | bound | 51 |" in text


def test_no_outs_no_tables(tmp_path: Path) -> None:
    write(tmp_path)
    assert read_json(tmp_path / "leaderboard.json") == {"tables": []}


def test_same_bytes_twice(tmp_path: Path) -> None:
    write(folder(tmp_path))
    first = (tmp_path / "leaderboard.json").read_bytes()
    write(tmp_path)
    assert first == (tmp_path / "leaderboard.json").read_bytes()
