"""Promotion: the rule, the no-op, and a champion that is no longer in the workspace."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fabricated
import numpy as np
import pytest
from fabricated import OBJECTIVE, TASK

import genfoundry
from genfoundry import config, paths
from genfoundry.errors import UserError
from genfoundry.selection import champion_scores, dvc_store, ledger, promotion, weight_store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    fabricated.prepare(root)
    fabricated.train(root, "weak", 1)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A repository whose champion is `weak`."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    fabricated.register(tmp_path)
    assert promotion.promote(TASK, OBJECTIVE, tmp_path) == "champion"
    return tmp_path


def lines(root: Path) -> list[ledger.Decision]:
    return ledger.read_decisions(root / "ledger.jsonl")


def test_the_first_champion_says_all_that_a_later_comparison_needs(root: Path) -> None:
    (line,) = lines(root)
    assert (line["decision"], line["experiment"], line["incumbent"]) == ("champion", "weak", None)
    assert line["figures"]["candidate"]["nats"] > 0
    assert set(line["weights"]["files"]) == {"weights.safetensors", "model.json"}
    assert weight_store.find(root, line["weights"]) == root / "models/experiments/weak"


def test_the_same_ranking_twice_is_a_no_op_without_heavy_imports(root: Path) -> None:
    before = (root / "ledger.jsonl").read_bytes()
    code = (
        "import sys, pathlib; from genfoundry.selection import promotion; "
        f"print(promotion.promote({TASK!r}, None, pathlib.Path({str(root)!r}))); "
        "print(sorted({'torch', 'numpy', 'mlflow', 'dvc', 'pydantic'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["unchanged", "[]"]
    assert (root / "ledger.jsonl").read_bytes() == before


def test_a_ranking_that_changed_at_the_bottom_decides_nothing_anew(root: Path) -> None:
    fabricated.train(root, "weaker", 1, shift=0.5)
    fabricated.register(root)
    assert promotion.promote(TASK, OBJECTIVE, root) == "unchanged"
    assert len(lines(root)) == 1


def test_a_surely_better_model_takes_over(root: Path) -> None:
    fabricated.train(root, "strong", 2)
    fabricated.register(root)
    assert promotion.promote(TASK, OBJECTIVE, root) == "champion"
    figures = lines(root)[-1]["figures"]
    assert figures["interval"][0] > OBJECTIVE.margin
    assert figures["items"] == 2 * figures["groups"] > 2  # two origins in a block of the series
    assert figures["difference"] == pytest.approx(figures["incumbent"]["nats"] - figures["candidate"]["nats"])
    assert lines(root)[-1]["incumbent"] == lines(root)[0]["digest"]


def grouped(root: Path, ids: Callable[[int], np.ndarray]) -> None:
    """The items of every experiment's scores come in groups."""
    from safetensors.numpy import load_file, save_file

    for path in (root / "reports/scores").glob("*/*/scores.safetensors"):
        scores = load_file(path)
        save_file({**scores, "gate/nll_group": ids(len(scores["gate/nll"]))}, path)


def test_what_items_in_few_groups_tell_is_less_and_one_group_tells_nothing(root: Path) -> None:
    fabricated.train(root, "strong", 2)
    fabricated.register(root)
    grouped(root, lambda n: np.zeros(n, np.int64))
    assert promotion.promote(TASK, OBJECTIVE, root) == "challenger"
    line = lines(root)[-1]
    assert (line["figures"]["groups"], line["figures"]["interval"]) == (1, None)
    assert "cannot be told from 1 group" in line["reason"]
    fabricated.register(root, OBJECTIVE.model_copy(update={"margin": 2 * OBJECTIVE.margin + 0.1}))
    grouped(root, lambda n: np.arange(n) * 2 // n)
    promotion.promote(TASK, OBJECTIVE, root)
    figures = lines(root)[-1]["figures"]
    assert (figures["items"] > figures["groups"]) and figures["groups"] == 2
    assert "items in 2 independent groups" in lines(root)[-1]["reason"]


def test_below_the_margin_it_is_a_challenger_and_lowering_the_margin_reopens_it(root: Path) -> None:
    fabricated.train(root, "strong", 2)
    strict = OBJECTIVE.model_copy(update={"margin": 5.0})
    fabricated.register(root, strict)
    assert promotion.promote(TASK, strict, root) == "challenger"
    assert promotion.promote(TASK, strict, root) == "unchanged"
    assert "not surely above the margin 5" in lines(root)[-1]["reason"]
    fabricated.register(root, OBJECTIVE)
    assert promotion.promote(TASK, OBJECTIVE, root) == "champion"


@pytest.mark.parametrize("role", ["baseline", "ceiling", "compressor", "reference"])
def test_a_model_that_any_reference_beats_is_refused_and_its_line_says_by_what(
    made: Path, tmp_path: Path, role: str
) -> None:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    fabricated.references(tmp_path, near=(role, 0.02), hard=(role, 0.01), easy=("baseline", 99.0))
    fabricated.register(tmp_path)
    assert promotion.promote(TASK, OBJECTIVE, tmp_path) == "refused"
    (line,) = lines(tmp_path)
    value = line["figures"]["candidate"]["nats"]
    assert line["figures"]["loses_to"] == [
        {"name": "hard", "role": role, "value": 0.01, "by": pytest.approx(value - 0.01)},
        {"name": "near", "role": role, "value": 0.02, "by": pytest.approx(value - 0.02)},
    ]
    assert "on gate loses to hard (0.01, by " in line["reason"] and "easy" not in line["reason"]
    assert line["figures"]["reference"] == {"name": "hard", "value": 0.01}
    assert line["figures"]["split"] == "gate"
    assert ledger.find_champion(lines(tmp_path), TASK) is None
    assert promotion.promote(TASK, OBJECTIVE, tmp_path) == "unchanged"


def test_a_line_says_how_surely_the_closest_reference_is_beaten(made: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    nll = load_file(tmp_path / "reports/scores" / fabricated.DATA / "weak/scores.safetensors")["gate/nll"]
    noise = np.random.default_rng(0).normal(0, 0.5, len(nll))
    noise += 0.05 - noise.mean()
    value = float((nll + noise).mean() / fabricated.WINDOW)
    fabricated.references(tmp_path, near=("reference", value), far=("baseline", value + 9))
    save_file({"near/gate/nll": nll + noise}, tmp_path / "reports/baselines" / TASK / "scores.safetensors")
    fabricated.register(tmp_path)
    assert promotion.promote(TASK, OBJECTIVE, tmp_path) == "champion"
    (line,) = lines(tmp_path)
    lead = line["figures"]["over_reference"]
    assert (lead["name"], lead["difference"]) == ("near", pytest.approx(noise.mean() / fabricated.WINDOW))
    assert lead["interval"][0] < 0 < lead["interval"][1]
    assert "near the closest, by " in line["reason"] and "(95% " in line["reason"]


@pytest.mark.parametrize("role", ["floor", "copy"])
def test_real_items_and_a_copy_of_the_training_set_need_not_be_beaten(made: Path, tmp_path: Path, role: str) -> None:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    fabricated.references(tmp_path, real=(role, 0.01), nothing=("reference", None))
    fabricated.register(tmp_path)
    assert promotion.promote(TASK, OBJECTIVE, tmp_path) == "champion"
    assert lines(tmp_path)[-1]["figures"]["loses_to"] == []


def test_a_new_reference_that_beats_the_champion_is_said_once_and_it_goes_on_serving(root: Path) -> None:
    fabricated.references(root, ngram=("reference", 0.01))
    fabricated.register(root)
    assert promotion.promote(TASK, OBJECTIVE, root) == "refused"
    assert "it stays the champion, but nats" in lines(root)[-1]["reason"]
    assert ledger.find_champion(lines(root), TASK) == lines(root)[0]
    assert [loss["name"] for loss in ledger.find_recorded_losses(lines(root), lines(root)[0]["digest"])] == ["ngram"]
    assert promotion.promote(TASK, OBJECTIVE, root) == "unchanged"
    fabricated.references(root, ngram=("reference", 0.02))  # by less: nothing to say anew
    fabricated.register(root)
    assert promotion.promote(TASK, OBJECTIVE, root) == "unchanged"
    fabricated.references(root, ngram=("reference", 99.0))
    fabricated.register(root)
    assert promotion.promote(TASK, OBJECTIVE, root) == "champion"
    assert ledger.find_recorded_losses(lines(root), lines(root)[0]["digest"]) == []


def test_a_champion_that_a_reference_beats_gives_way_to_a_model_that_none_does(root: Path) -> None:
    """Without a sure gain above the margin, since the bar is what a champion must clear."""
    was = lines(root)[0]["figures"]["candidate"]["nats"]
    fabricated.train(root, "strong", 2)
    strict = OBJECTIVE.model_copy(update={"margin": 5.0})
    fabricated.references(root, between=("reference", was - 1e-4))
    fabricated.register(root, strict)
    assert promotion.promote(TASK, strict, root) == "champion"
    line = lines(root)[-1]
    assert line["figures"]["difference"] < line["figures"]["margin"]
    assert "loses there to between" in line["reason"] and "this one to no reference" in line["reason"]


def test_a_line_of_the_old_format_is_read_and_decided_anew_once(root: Path) -> None:
    path = root / "ledger.jsonl"
    line = json.loads(path.read_text())
    (fresh := line["figures"]).update(baseline=None)
    for key in ("reference", "loses_to", "ranking_margin", "seed_margin", "split"):
        fresh.pop(key)
    path.write_text(json.dumps({**line, "decision": "refused", "ranking": "old"}) + "\n")
    assert promotion.promote(TASK, OBJECTIVE, root) == "champion"
    path.write_text(json.dumps({**line, "ranking": "old"}) + "\n")
    assert promotion.promote(TASK, OBJECTIVE, root) == "unchanged"
    fabricated.train(root, "strong", 2)
    fabricated.register(root)
    assert promotion.promote(TASK, OBJECTIVE, root) == "champion"


def test_a_champion_s_own_seeds_bound_what_takes_over_from_it(root: Path) -> None:
    path = root / "ledger.jsonl"
    line = json.loads(path.read_text())
    line["figures"]["seed_margin"] = 5.0
    path.write_text(json.dumps(line) + "\n")
    fabricated.train(root, "strong", 2)
    fabricated.register(root)
    assert promotion.promote(TASK, OBJECTIVE, root) == "challenger"
    assert lines(root)[-1]["figures"]["margin"] == 5.0
    assert promotion.promote(TASK, OBJECTIVE, root) == "unchanged"


def test_a_champion_that_left_the_workspace_is_measured_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.numpy import load_file

    scores = load_file(root / "reports/scores" / fabricated.DATA / "weak/scores.safetensors")
    monkeypatch.chdir(root)  # as a stage calls it
    fabricated.forget(root, "weak")
    fabricated.train(root, "strong", 2)
    fabricated.register(root)
    assert promotion.promote(TASK, OBJECTIVE, Path()) == "champion"
    assert lines(root)[-1]["figures"]["incumbent"]["nats"] == pytest.approx(scores["gate/nll"].mean() / 5, abs=1e-9)


def test_an_old_champion_answers_by_its_own_commits_code(root: Path) -> None:
    """Its model's file is in that commit alone: today's code could not even load it."""
    package = root / "src/genfoundry"
    shutil.copytree(Path(genfoundry.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    old = (package / "models/linear_ar.py").read_text().replace("class LinearAr", "class BygoneAr")
    (package / "models/bygone_ar.py").write_text(old)
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "src"], ["commit", "-qm", "then"]):
        subprocess.run([*git, *command], check=True)
    commit, clean = ledger.get_commit(root)
    assert clean
    folder = root / "models/experiments/weak"
    card = json.loads((folder / "model.json").read_text()) | {"model": "bygone_ar", "digest": "bygone"}
    (folder / "model.json").write_text(json.dumps(card))
    line = {**lines(root)[0], "digest": "bygone", "commit": commit, "clean": True}
    ledger.append_decision(root / "ledger.jsonl", {**line, "weights": weight_store.describe(folder, root)})
    shutil.copytree(folder, root / "bygone")
    weight_store.keep(root, weight_store.describe(folder, root))
    fabricated.forget(root, "weak")
    fabricated.train(root, "strong", 2)
    fabricated.register(root)
    assert promotion.promote(TASK, OBJECTIVE, root) == "champion"
    assert lines(root)[-1]["figures"]["incumbent"]["nats"] > 0
    # Without that commit no code knows the model: the champion stays.
    ledger.append_decision(
        root / "ledger.jsonl", {**line, "commit": "0" * 40, "weights": weight_store.describe(root / "bygone", root)}
    )
    fabricated.train(root, "stronger", 3)
    fabricated.forget(root, "strong")
    fabricated.register(root)
    assert promotion.promote(TASK, OBJECTIVE, root) == "challenger"
    assert "could not be measured again" in lines(root)[-1]["reason"]
    assert "bygone_ar" in lines(root)[-1]["reason"]


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_champion_whose_figure_on_today_s_gate_is_not_finite_gives_way(root: Path, value: float) -> None:
    from safetensors.numpy import load_file, save_file

    path = root / "reports/scores" / fabricated.DATA / "weak/scores.safetensors"
    scores = load_file(path)
    scores["gate/nll"][3] = value
    save_file(scores, path)
    fabricated.train(root, "strong", 2)
    fabricated.register(root)
    assert promotion.promote(TASK, OBJECTIVE, root) == "champion"
    assert f"has nats {value} on today's gate" in lines(root)[-1]["reason"]
    assert lines(root)[-1]["figures"]["incumbent"] is None


def test_a_reference_s_features_from_another_device_leave_the_lead_unsaid(tmp_path: Path) -> None:
    """In lower precision the same real items have other features; the figures are compared all the same."""
    from safetensors.numpy import save_file

    draw = np.random.default_rng(0)
    ours = {name: draw.normal(size=(30, 4)).astype(np.float32) for name in ("features", "real")}
    theirs = {f"png/gate/{name}": values + np.float32(0.01) for name, values in ours.items()}
    folder = tmp_path / "reports/baselines/samples"
    folder.mkdir(parents=True)
    save_file(theirs, folder / "scores.safetensors")
    task = config.Task(dataset="fashion", objective="frechet")
    assert promotion._measure_lead(task, tmp_path, "samples", ({"dims": 4}, ours), {"name": "png"}) is None


def test_answers_of_old_code_about_other_items_are_not_taken_for_those_of_today_s(root: Path, tmp_path: Path) -> None:
    """As many items, by chance, are no sign that they are the same."""
    source = tmp_path / "then"
    shutil.copytree(Path(genfoundry.__file__).parent, source / "genfoundry", ignore=shutil.ignore_patterns("*.pyc"))
    series = source / "genfoundry/data/splits/series.py"
    line = "return (first[:, None] + np.arange(origins)).ravel(), np.repeat(np.arange(blocks), origins)"
    text = series.read_text(encoding="utf-8")
    assert line in text
    folder, scores = root / "models/experiments/weak", {}
    for then, other in (("same", line), ("side by side", line.replace(".ravel()", ".ravel() // 2", 1))):
        series.write_text(text.replace(line, other), encoding="utf-8")
        try:
            scores[then] = champion_scores.remeasure(root, OBJECTIVE, folder, source, {})["nll"]
        except champion_scores.NotMeasurable as error:
            scores[then] = str(error)
    today = champion_scores.load_candidate_scores(root, OBJECTIVE, "weak", lines(root)[0]["digest"])[1]
    np.testing.assert_allclose(scores["same"], today["nll"])
    assert scores["side by side"] == "its code takes other items out of gate than today's"


def test_a_champion_that_is_nowhere_gives_way(root: Path) -> None:
    fabricated.forget(root, "weak")
    shutil.rmtree(root / paths.WEIGHTS)
    fabricated.train(root, "worse", 1, shift=0.3)
    fabricated.register(root)
    assert promotion.promote(TASK, OBJECTIVE, root) == "champion"
    assert "is lost: models/experiments/weak: weights not found" in lines(root)[-1]["reason"]


def test_a_champion_with_other_levels_gives_way(root: Path) -> None:
    folder = root / "models/experiments/weak"
    card = json.loads((folder / "model.json").read_text()) | {"data": {"levels": 2, "binarise": "threshold"}}
    (folder / "model.json").write_text(json.dumps(card))
    ledger.append_decision(root / "ledger.jsonl", {**lines(root)[0], "weights": weight_store.describe(folder, root)})
    shutil.rmtree(root / "reports/scores" / fabricated.DATA / "weak")
    fabricated.train(root, "worse", 1, shift=0.3)
    fabricated.register(root)
    assert promotion.promote(TASK, OBJECTIVE, root) == "champion"
    assert "other levels, binarisation or labels" in lines(root)[-1]["reason"]


def test_a_remote_that_gives_an_error_decides_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(root: Path, files: object, *, remotes: bool) -> list[Path]:
        raise weight_store.RemoteUnreachable("DVC remote: no route")

    monkeypatch.setattr(dvc_store, "fetch_files", fetch)
    (root / ".dvc").mkdir()
    fabricated.forget(root, "weak")
    shutil.rmtree(root / paths.WEIGHTS)
    fabricated.train(root, "strong", 2)
    fabricated.register(root)
    assert promotion.promote(TASK, OBJECTIVE, root) == "undecided"
    assert len(lines(root)) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_scores_of_another_model_are_not_taken(root: Path) -> None:
    fabricated.train(root, "strong", 2)
    fabricated.register(root)
    fabricated.train(root, "strong", 3)
    with pytest.raises(UserError, match="run `dvc repro register`"):
        promotion.promote(TASK, OBJECTIVE, root)


def test_no_ranking_names_the_stage_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`dvc repro rank` writes it"):
        promotion.promote(TASK, OBJECTIVE, tmp_path)


def test_a_ranking_is_decided_before_its_file_is_written_and_not_again_afterwards(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    fabricated.register(tmp_path)
    path = tmp_path / f"reports/ranking/{TASK}.json"
    content = path.read_bytes()
    path.unlink()
    assert not promotion.is_settled(TASK, tmp_path, content)
    assert promotion.promote(TASK, OBJECTIVE, tmp_path, content) == "champion"
    assert promotion.is_settled(TASK, tmp_path, content) and not promotion.is_settled(TASK, tmp_path)
    path.write_bytes(content)
    assert promotion.is_settled(TASK, tmp_path)
    assert promotion.promote(TASK, OBJECTIVE, tmp_path) == "unchanged"
    (line,) = lines(tmp_path)
    assert line["ranking"] == ledger.hash_ranking(content)


def stored(root: Path) -> set[Path]:
    """The folders of the ledger's store, each with the files that it should have."""
    return {path.parent for path in (root / paths.WEIGHTS).glob("*/model.json")}


def test_the_store_has_champion_and_latest_challenger_and_nothing_older(root: Path) -> None:
    strict = OBJECTIVE.model_copy(update={"margin": 5.0})
    for name, order, decision in (("strong", 2, "challenger"), ("stronger", 3, "challenger")):
        fabricated.train(root, name, order)
        fabricated.register(root, strict)
        assert promotion.promote(TASK, strict, root) == decision
        fabricated.forget(root, name)
    champion, _, latest = (weight_store.find(root, line["weights"]) for line in [lines(root)[0], *lines(root)[-1:] * 2])
    assert stored(root) == {latest, weight_store.keep(root, lines(root)[0]["weights"])}
    assert champion == root / "models/experiments/weak"
    with pytest.raises(
        weight_store.WeightsLost, match=r"neither the workspace nor .state/weights nor DVC's cache and remotes"
    ):
        weight_store.find(root, lines(root)[1]["weights"])


def test_a_refused_model_is_not_stored(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    fabricated.references(tmp_path, hard=("reference", 0.01))
    fabricated.register(tmp_path)
    assert promotion.promote(TASK, OBJECTIVE, tmp_path) == "refused"
    assert stored(tmp_path) == set()
