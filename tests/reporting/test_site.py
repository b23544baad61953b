"""The site says what the outs say, is quick and safe to render, and does without whatever is missing."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import showcase

from genfoundry import files, paths
from genfoundry.reporting import site
from genfoundry.reporting.metric_info import GROUPS, METRICS
from genfoundry.reporting.site import charts, dataset, rendering, table
from genfoundry.selection import ledger


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = showcase.outs(tmp_path_factory.mktemp("showcase"))
    site.render(root)
    return root


def page(root: Path, path: str) -> str:
    """A page's text without its tags, pictures and scripts."""
    html = (root / "reports" / f"{path}.html").read_text(encoding="utf-8")
    body = re.sub(r"<(script|style)>.*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def test_a_page_a_data_set_and_a_page_a_model(root: Path) -> None:
    found = {p.relative_to(root / "reports").as_posix() for p in (root / "reports").rglob("*.html")}
    models = {f"models/{name}.html" for name in (showcase.GAN, showcase.VAE, showcase.LINEAR)}
    assert found == {"index.html", f"datasets/{showcase.DATA}.html", f"datasets/{showcase.SERIES}.html", *models}


def test_the_index_names_the_champion_and_what_is_open(root: Path) -> None:
    text = page(root, "index")
    assert "gan-shapes-task gan-shapes Frechet 8.5" in text
    assert "vae-shapes-task no champion yet: vae-shapes loses on gate to xz (3.4, by 0.21)" in text


def test_every_page_says_what_the_best_candidate_loses_to_and_what_split_decided(root: Path) -> None:
    lost = "loses on gate to xz (3.4, by 0.21)"
    text = page(root, f"datasets/{showcase.DATA}")
    assert f"no champion of vae-shapes-task: the best on val, vae-shapes , {lost}" in text
    assert "ranked on val and become champions on gate; the values are of test, which decides nothing" in text
    assert "whether one becomes the champion is decided on gate, and nothing on test" in text
    text = page(root, f"models/{showcase.VAE}")
    assert "for vae-shapes-task; it cannot be the champion: on gate it loses to xz (3.4, by 0.21)" in text
    table = (root / "reports/leaderboard.md").read_text(encoding="utf-8")
    assert "vae-shapes-task: vae-shapes, the best on val, cannot be its champion: on gate it loses to xz" in table
    assert "loses to" not in page(root, f"models/{showcase.GAN}")  # the floor is no bar


def test_a_champion_that_a_new_reference_beats_is_said_to_serve_and_to_lose(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "reports/baselines" / f"{showcase.GAN}-task" / "card.json"
    card = files.read_json(path)
    card["rows"]["pixel-means"]["figures"]["gate"]["frechet"] = 8.0
    files.write_json(path, card)
    for gone in (False, True):
        if gone:  # another model is in the workspace: the ledger has the champion's figure on the same data
            scores = tmp_path / "reports/scores" / showcase.DATA / showcase.GAN / "card.json"
            files.write_json(scores, {**files.read_json(scores), "digest": "0" * 64})
        site.render(tmp_path)
        for name in ("index", f"datasets/{showcase.DATA}"):
            assert "on gate it loses to pixel-means (8, by 0.5)" in page(tmp_path, name)


def test_a_data_set_says_what_its_figures_rest_on(root: Path) -> None:
    text = page(root, f"datasets/{showcase.DATA}")
    assert "The order is not settled gan-shapes-task: gan-shapes leads vae-shapes by 0.2" in text
    assert "8.50 ± 0.60 sd 0.55 over 3 seeds" in text
    assert "3.610 ± 0.024" in text
    assert "supervised classifier" in text and "91.2%" in text and "f" * 12 in text
    assert "All 1 expectations met" in text
    assert "gan-shapes , the champion of gan-shapes-task" in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2  # the reasons of both decisions


def test_refused_data_have_a_row_without_a_model(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    line = {"task": f"{showcase.GAN}-task", "decision": "refused", "reason": "too bright", "data": "e" * 64, "who": "x"}
    line |= {"time": "2026-02-02T03:04:05+00:00", "commit": "c" * 40, "weights": {}, "figures": {}}
    line |= dict.fromkeys(("experiment", "model", "digest", "ranking"))  # and no "clean", as ledgers have it
    ledger.append_decision(tmp_path / "ledger.jsonl", line)
    site.render(tmp_path)
    for name in ("index", f"datasets/{showcase.DATA}"):
        assert "refused too bright cccccccccccc" in page(tmp_path, name)


def test_a_data_set_whose_experiments_wait_for_a_larger_budget_has_no_model_yet(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "reports/validation"
    shutil.copy(folder / f"{showcase.DATA}.json", folder / "larger.json")
    site.render(tmp_path)
    assert "larger no models yet, data valid" in page(tmp_path, "index")


def test_a_self_supervised_judge_is_called_one(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    for name in (showcase.GAN, showcase.VAE):
        card = tmp_path / "reports/scores" / showcase.DATA / name / "card.json"
        card.write_text(card.read_text().replace('"classes"', '"rotations"'))
    site.render(tmp_path)
    text = page(tmp_path, f"datasets/{showcase.DATA}")
    assert "self-supervised" in text and "supervised classifier" not in text


def test_a_judge_of_a_test_split_without_labels(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    card = {"digest": "f" * 64, "model": "judge", "accuracy": {"test": None, "val": 0.5}}
    files.write_json(tmp_path / paths.judge(showcase.DATA) / "model.json", card)
    site.render(tmp_path)
    text = page(tmp_path, f"datasets/{showcase.DATA}")
    assert "accuracy on val 50.0%" in text and "accuracy on test" not in text


def test_a_model_says_what_it_costs_and_what_rebuilds_it(root: Path) -> None:
    text = page(root, f"models/{showcase.VAE}")
    assert f"git checkout {'c' * 40} &amp;&amp; dvc repro evaluate@vae-shapes" in text
    assert "weights (sha256) " + "a" * 64 in text
    assert "123,456" in text and "1 min 15 s" in text and "500 MB" in text
    assert text.count("not measured on this machine") == 3
    assert "improved bits/dim on val by 0.1 , from 3.9" in text
    assert "median filter 17.25" in text
    assert "not class-conditional: it draws without a label" in text
    assert "fitted in closed form" in page(root, f"models/{showcase.LINEAR}")


def test_a_likelihood_stands_beside_compressors_and_its_bound_says_its_draws(root: Path) -> None:
    text = page(root, f"models/{showcase.VAE}")
    assert "xz 3.400" in text
    assert "A likelihood is a code length: a bound, which bits-back coding reaches" in text
    assert re.search(r"bits/dim, IW bits, lower is better 3\.550 3\.500 to 3\.600", text)
    assert "k = 64 draws (Burda et al. 2016); its gap was measured on 200 test items" in text
    assert "code length" not in page(root, f"models/{showcase.GAN}")


def test_a_failure_of_the_raw_likelihood_is_said(root: Path) -> None:
    text = page(root, f"models/{showcase.VAE}")
    assert "This model assigns a higher likelihood to other data than to its own: constant." in text
    html = (root / "reports/models" / f"{showcase.VAE}.html").read_text(encoding="utf-8")
    assert '<td class="num bad" data-sort="0.31">0.31' in html
    assert '<td class="num bad" data-sort="0.97"' not in html


def test_an_ability_that_is_not_there_has_its_reason(root: Path) -> None:
    assert "Latent-space editing (gives no codes that it decodes)" in page(root, f"models/{showcase.GAN}")
    assert "the raw values 0.79" in page(root, f"models/{showcase.VAE}")


def test_rate_and_distortion_are_in_the_figure_s_unit(root: Path) -> None:
    text = page(root, f"datasets/{showcase.DATA}")
    assert "Rate and distortion: 17 levels" in text
    assert re.search(r"vae-shapes 0\.902 2\.708 20\.5", text)  # a quarter and three quarters of 3.61
    assert "Rate and distortion" not in page(root, f"datasets/{showcase.SERIES}")


def test_labels_of_dots_do_not_lie_on_each_other() -> None:
    dots = [(0.1, 5.0, "a"), (0.9, 4.99, "b"), (0.8, 4.98, "c"), (0.2, 1.0, "d")]
    made = charts.chart("distortion by rate", dots=dots, labelled=True)
    assert made is not None
    found = re.findall(r'text-anchor: (\w+); fill[^"]*" x="[^"]*" y="([^"]*)"[^>]*>([a-d])<', made.svg)
    assert {text: anchor for anchor, _, text in found} == {"a": "start", "b": "end", "c": "end", "d": "start"}
    heights = sorted(float(y) for _, y, _ in found)
    assert all(below - above >= 10 for above, below in itertools.pairwise(heights))  # a line of 9.5 points


def test_a_control_stands_beside_its_figure(root: Path) -> None:
    text = page(root, f"models/{showcase.GAN}")
    assert re.search(
        r"Frechet squared deviations of judge features, lower is better 8\.50 7\.90 to 9\.10 500 items 30 ", text
    )
    assert "8.50, 9.00, 7.90; sd 0.55" in text


def test_names_reasons_and_samples_cannot_become_markup(root: Path) -> None:
    for path in (root / "reports").rglob("*.html"):
        html = path.read_text(encoding="utf-8")
        assert "<script>alert" not in html
        assert "tides <i>" not in html
    assert "tides%20%3Ci%3E%26.html" in (root / "reports/index.html").read_text(encoding="utf-8")


def test_the_same_bytes_twice_and_pages_of_what_is_gone_go(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    before = {p: p.read_bytes() for p in (tmp_path / "reports").rglob("*.html")}
    site.render(tmp_path)
    assert {p: p.read_bytes() for p in (tmp_path / "reports").rglob("*.html")} == before
    shutil.rmtree(tmp_path / "reports/scores" / showcase.DATA / showcase.VAE)
    site.render(tmp_path)
    assert not (tmp_path / "reports/models" / f"{showcase.VAE}.html").exists()


@pytest.mark.parametrize("gone", ["models", "data", "ledger.jsonl", ".state", "reports/panels", "reports/baselines",
                                  "reports/ranking", "reports/tuning", "reports/training", "reports/validation",
                                  "reports/leaderboard.json", "reports/scores", "reports"])  # fmt: skip
def test_what_is_missing_is_left_out(root: Path, tmp_path: Path, gone: str) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    path = tmp_path / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert Path("reports/index.html") in site.render(tmp_path)


def test_ten_experiments_take_seconds_and_no_heavy_library(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    for k in range(10):
        showcase.experiment(tmp_path, f"more-{k}", {"frechet": 10.0 + k, "n": 1000})
        shutil.copytree(root / "reports/panels" / showcase.VAE, tmp_path / "reports/panels" / f"more-{k}")
    code = "import sys, time; from pathlib import Path; from genfoundry.reporting import site\n"
    code += "site.render(Path(sys.argv[1]))\n"
    code += "print([m for m in ('torch', 'mlflow', 'optuna', 'matplotlib.pyplot', 'pandas') if m in sys.modules])\n"
    code += "print(time.process_time())"
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    modules, seconds = done.stdout.splitlines()
    assert modules == "[]"
    assert float(seconds) < 10  # of the processor: other tests run beside this one


def test_decimals_follow_the_interval() -> None:
    assert table.decimals([3.401, 4.588], [0.019, 0.022]) == 3
    assert table.decimals([1.9, 616.3], [1.5, 9.4]) == 1
    assert table.decimals([1.9, 616.3], [1.5, 120.0, 130.0]) == 0
    assert table.decimals([0.512, 0.634], []) == 4
    assert table.decimals([None], []) == 0
    assert rendering.fixed(-0.00004, 3) == "\N{MINUS SIGN}4e-05"
    assert rendering.fixed(1234.5, 1) == "1,234.5"


def test_the_best_is_a_trained_model_by_what_the_figure_says(root: Path) -> None:
    html = (root / "reports/datasets" / f"{showcase.DATA}.html").read_text(encoding="utf-8")
    best = re.findall(r'<td class="num best" data-sort="([^"]+)"', html)
    assert sorted(map(float, best)) == [
        0.42,
        0.6,
        0.71,
        3.61,
        8.5,
        21.5,
    ]  # 1-NN nearest to 0.5; floor and xz do not compete


def test_a_chart_leaves_out_what_is_not_finite() -> None:
    made = charts.chart("loss", {"model": [(0, 1.0), (1, float("nan")), (2, 3.0)]})
    assert made is not None and made.svg.count("nan") == 0
    assert charts.chart("loss", {"model": [(0, float("inf"))]}) is None


def test_every_metric_has_a_group_and_every_group_a_title_and_a_sentence() -> None:
    assert {metric.group for metric in METRICS.values()} == GROUPS.keys()
    assert all(title and description.endswith(".") for title, description in GROUPS.values())


def test_columns_stand_in_groups_an_objectives_first() -> None:
    names = ["bits_per_dim", "frechet", "recall", "accuracy", "restore_mask_psnr"]
    assert table.order_columns(names, ["frechet"])[:3] == ["frechet", "recall", "bits_per_dim"]
    assert table.order_columns(names, ["recall", "accuracy"])[:3] == ["recall", "frechet", "accuracy"]
    groups = [METRICS[name].group for name in table.order_columns(names, ["mae"])]
    assert list(dict.fromkeys(groups)) == [group for group in GROUPS if group in groups]


def test_a_tuning_says_after_how_many_steps_its_trials_were_compared(root: Path) -> None:
    """A gain in trials is none of the whole training, and no page says that it is."""
    found = [page(root, f"models/{name}") for name in (showcase.GAN, showcase.VAE, showcase.LINEAR)]
    assert any("both after 96 of 1,200 steps; the full training was not run" in text for text in found)
    assert not any("Tuning improved" in text for text in found)


def test_why_a_row_that_was_not_trained_has_no_figure() -> None:
    row = {"kind": "reference", "likelihood": "none", "figures": {"accuracy": 0.9, "accuracy_n": 10}}
    why = {name: table.why_missing(METRICS[name], row) for name in ("frechet", "bits_per_dim", "mae", "accuracy")}
    assert tuple(why.values()) == ("no samples", "no likelihood", "no forecast", "not measured")
    persistence = {"kind": "baseline", "likelihood": "exact", "figures": {"mae": 1.0}}
    assert table.why_missing(METRICS["rolling_mae"], persistence) == "not measured"  # it does forecast


def test_a_note_on_a_models_page_names_its_task(root: Path) -> None:
    assert "gan-shapes-task: gan-shapes leads vae-shapes by 0.2" in page(root, f"models/{showcase.GAN}")


def test_groups_are_counted_in_the_order_of_the_items() -> None:
    counts = {"gate": 5, "test": 9, "train": 40, "val": 5}
    spec = {"shape": [1, 8, 8]}
    about = dict(dataset.describe({"modality": "images", "spec": spec, "counts": counts, "groups": counts}))
    assert about["independent groups"] == about["items"] == "train 40, val 5, gate 5, test 9"
    about = dict(
        dataset.describe({"modality": "series", "spec": spec, "counts": counts, "groups": {"gate": 5, "val": 4}})
    )
    assert about["independent groups"] == "val 4, gate 5"


def test_the_health_of_a_gan_is_drawn_and_its_collapse_said(root: Path) -> None:
    drawn = charts.training_curves(root / paths.curves(showcase.GAN))
    titles = [chart.title.partition(":")[0] for chart in drawn]
    assert titles == [
        "loss", "learning rate", "gradient norm", "classes that samples reach, 1", "critic gap", "diversity"
    ]  # fmt: skip
    norms = drawn[2].svg
    assert "critic from 3 to 0.103" in norms and "generator from 4 to 0.1379" in norms
    html = (root / "reports" / f"models/{showcase.GAN}.html").read_text(encoding="utf-8")
    assert all(chart.svg in html for chart in drawn)
    text = page(root, f"models/{showcase.GAN}")
    assert "collapsed: all alike." in text and "network passes a sample 1" in text


def test_an_estimated_likelihood_says_its_estimator_wherever_it_stands(root: Path) -> None:
    note = "exact trace, 40 Heun steps"
    text = page(root, f"models/{showcase.LINEAR}")
    assert "likelihood estimate" in text and f"How it is computed: {note}." in text
    assert "an estimate by a numerical method, neither exact nor a bound" in text
    assert f"estimate {note}" in page(root, f"datasets/{showcase.SERIES}")
    table = (root / "reports/leaderboard.md").read_text(encoding="utf-8")
    assert f"{showcase.LINEAR}: likelihood (estimate): {note}." in table
