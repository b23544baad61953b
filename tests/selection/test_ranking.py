"""The ranking is a pure function of the cards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from genfoundry.config import Task
from genfoundry.errors import UserError
from genfoundry.files import write_json
from genfoundry.selection import margins, references
from genfoundry.selection.ranking import rank

TASK = Task(dataset="d", levels=16, objective="bits_per_dim", margin=0.01)


def card(folder: Path, name: str, value: float | None, **more: Any) -> None:
    figures = {} if value is None else {"bits_per_dim": value, "bits_per_dim_stderr": 0.1}
    about = {"experiment": name, "model": "m", "digest": f"digest-{name}", "likelihood": "exact", "data": "D"}
    write_json(
        folder / name / "card.json", {**about, "levels": 16, "binarise": None, "figures": {"val": figures}, **more}
    )


def test_the_best_is_first_and_equals_go_by_name(tmp_path: Path) -> None:
    for name, value in {"b": 2.0, "a": 2.0, "c": 1.0}.items():
        card(tmp_path, name, value)
    card(tmp_path, "no-likelihood", None)
    card(tmp_path, "binary", 0.1, levels=2, binarise="dynamic")
    card(tmp_path, "few-labels", 0.1, labels=100)
    ranking = rank("t", TASK, tmp_path, tmp_path / "none")
    assert [c["experiment"] for c in ranking["candidates"]] == ["c", "a", "b"]
    assert ranking["candidates"][0] == {
        "experiment": "c", "model": "m", "digest": "digest-c", "likelihood": "exact", "value": 1.0, "stderr": 0.1,
        "spread": None, "seeds": 1,
    }  # fmt: skip
    assert (ranking["data"], ranking["split"], ranking["margin"], ranking["references"]) == ("D", "val", 0.01, {})
    assert ranking["note"] == "trained with one seed: c, a; this run does not bound a seed's luck"
    few = rank("few", TASK.model_copy(update={"labels": 100}), tmp_path, tmp_path / "none")
    assert [c["experiment"] for c in few["candidates"]] == ["few-labels"]
    upward = TASK.model_copy(update={"direction": "maximize"})
    assert [c["experiment"] for c in rank("t", upward, tmp_path, tmp_path / "none")["candidates"]] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("gap", "spread", "supported", "note"),
    [(0.5, 0.1, True, None),
     (0.3, 0.1, False, "a leads b by 0.3 on val, within what training seeds change (0.393, 95%)"),
     (0.5, None, None, "trained with one seed: b; ")],
)  # fmt: skip
def test_an_order_that_seeds_do_not_support_says_so(
    tmp_path: Path, gap: float, spread: float | None, supported: bool | None, note: str | None
) -> None:
    def seeds(value: float | None) -> dict[str, Any]:
        return {"seeds": {"n": 3, "val_spread": {} if value is None else {"bits_per_dim": value}}}

    card(tmp_path, "a", 1.0, **seeds(0.1))
    card(tmp_path, "b", 1.0 + gap, **seeds(spread))
    ranking = rank("t", TASK, tmp_path, tmp_path / "none")
    assert ranking["supported"] is supported
    assert (ranking["note"] or "").startswith(note or "")
    assert (
        ranking["margin"] == ranking["seed_margin"] == pytest.approx(0.1 * margins.dunnett_critical_value(3))
    )  # not the declared 0.01


def test_a_permuted_leaderboard_has_the_same_champion(tmp_path: Path) -> None:
    import itertools

    values = {"a": 1.5, "b": 1.25, "c": 2.0}
    ranking = []
    for i, order in enumerate(itertools.permutations(values)):
        for name in order:  # written in another order, under other names of folders
            card(tmp_path / str(i), name, values[name])
        ranking.append(rank("t", TASK, tmp_path / str(i), tmp_path / "none"))
    assert all(other == ranking[0] for other in ranking)
    assert ranking[0]["candidates"][0]["experiment"] == "b"


def test_nothing_to_rank_says_what_is_missing(tmp_path: Path) -> None:
    card(tmp_path, "binary", 0.1, levels=2)
    with pytest.raises(UserError, match="no experiment for task t: none has levels 16"):
        rank("t", TASK, tmp_path, tmp_path)


def test_candidates_of_different_data_are_not_compared(tmp_path: Path) -> None:
    card(tmp_path, "a", 1.0)
    card(tmp_path, "b", 1.0, data="E")
    with pytest.raises(UserError, match="2 versions of d"):
        rank("t", TASK, tmp_path, tmp_path)


def test_distances_in_the_features_of_two_judges_are_not_compared(tmp_path: Path) -> None:
    """What an experiment that is no more left behind has the scale of the judge that there was then."""
    for name, judge in (("a", "J"), ("b", "K")):
        values = {"val": {"frechet": 1.0, "bits_per_dim": 1.0}}
        card(tmp_path, name, 1.0, judge={"digest": judge}, figures=values)
    assert len(rank("t", TASK, tmp_path, tmp_path / "none")["candidates"]) == 2
    with pytest.raises(UserError, match="2 judges of d; run `dvc repro` for all of them, and remove the folders"):
        rank("t", TASK.model_copy(update={"objective": "frechet"}), tmp_path, tmp_path)


def test_one_candidate_with_one_seed_says_that_luck_is_not_bounded(tmp_path: Path) -> None:
    card(tmp_path, "a", 1.0)
    ranking = rank("t", TASK, tmp_path, tmp_path / "none")
    assert (ranking["seed_margin"], ranking["supported"]) == (None, None)
    assert ranking["note"] == "trained with one seed: a; this run does not bound a seed's luck"


def test_what_is_fitted_in_closed_form_owes_nothing_to_a_seed(tmp_path: Path) -> None:
    card(tmp_path, "a", 1.0, steps=0)
    card(tmp_path, "b", 1.5, seeds={"n": 3, "val_spread": {"bits_per_dim": 0.1}}, steps=100)
    ranking = rank("t", TASK, tmp_path, tmp_path / "none")
    assert (ranking["note"], ranking["supported"], ranking["seed_margin"]) == (None, True, 0.0)
    assert ranking["margin"] == TASK.margin


def test_every_role_but_floor_and_copy_is_a_bar(tmp_path: Path) -> None:
    roles = {"pixels": "baseline", "mean": "ceiling", "png": "compressor", "ngram": "reference"}
    roles |= {"real": "floor", "train": "copy"}
    values = {"pixels": 3.0, "mean": 4.0, "png": 2.5, "ngram": 2.75, "real": 0.0, "train": 0.0}
    rows = {n: {"role": role, "figures": {"val": {"bits_per_dim": values[n]}}} for n, role in roles.items()}
    rows["other"] = {"role": "baseline", "figures": {"val": {"frechet": 0.0}}}
    write_json(tmp_path / "card.json", {"rows": rows})
    card(tmp_path / "scores", "a", 2.7)
    ranking = rank("t", TASK, tmp_path / "scores", tmp_path)
    assert ranking["references"] == {"pixels": 3.0, "mean": 4.0, "png": 2.5, "ngram": 2.75}
    assert references.find_hardest(rows, TASK, "val") == {"name": "png", "value": 2.5}
    assert references.find_hardest(rows, TASK, "gate") is None
    lost = references.find_losses(rows, "bits_per_dim", "minimize", 2.75, "val")
    assert [(x["name"], x["role"], x["by"]) for x in lost] == [("png", "compressor", 0.25), ("ngram", "reference", 0.0)]
    assert references.describe_losses(lost) == "png (2.5, by 0.25), ngram (2.75, by 0)"
    assert references.sort_names(references.find_losses(rows, "bits_per_dim", "maximize", 2.8, "val")) == [
        "mean",
        "pixels",
    ]


def test_ranking_needs_no_torch() -> None:
    code = "import sys, genfoundry.selection.ranking, genfoundry.selection.promotion; "
    code += "import genfoundry.evaluation.aggregate, genfoundry.selection.margins; "
    code += "genfoundry.selection.margins.dunnett_critical_value(3); "
    code += "print({'torch', 'mlflow'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
