"""What an edit of params.yaml re-runs: an entry's own units, and what reads their outs."""

from __future__ import annotations

import pytest
from plan_edits import LAST, SEARCHES, Copy, Edit, Rewrite, units


def replace(old: str, new: str) -> Rewrite:
    def rewrite(text: str) -> str:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        return text.replace(old, new)

    return rewrite


VAE = "hyper: {latent: 32, detail: 8, width: 32, mixtures: 5}"
JUDGE = "fashion: {model: judge, hyper: {width: 32}, steps: {smoke: 20, quick: 1200, standard: 10000, full: 20000}}"
NEW = """experiments:
  vae-new:
    dataset: digits
    task: digits-inpaint
    model: vae
    data: {levels: 17}
    hyper: {noise: mask}
    steps: {quick: 10}
"""
COMPUTES = units("prepare validate judge baseline train evaluate register")
ROWS = {  # an edit of params.yaml -> the units whose plan is another
    "a comment": ("seed: 20\n", "seed: 20  # lucky\n", set()),
    "an experiment's hyper": (VAE, VAE.replace("mixtures: 5", "mixtures: 6"), {"train@vae-fashion"}),
    "an experiment's search": ("{low: 1, high: 20}", "{low: 1, high: 19}", {"train@linear-sunspots"}),
    "a new experiment": ("experiments:\n", NEW, {"train@vae-new", "evaluate@vae-new", "rank", "report"}),
    "a task's margin": ("levels: 256, margin: 5.5", "levels: 256, margin: 5.6", {"rank", "register"}),
    "the bound": ("samples: 500, bound: {k: 32,", "samples: 500, bound: {k: 64,", units("evaluate")),
    "test_items": ("test_items: 3000", "test_items: 2000", units("baseline evaluate")),
    "the trials": ("quick: {trials: 2", "quick: {trials: 3", SEARCHES),
    "the samples": ("samples: 500", "samples: 400", SEARCHES | units("baseline evaluate")),
    "another budget": ("standard: {trials: 24", "standard: {trials: 25", set()),
    "max_minutes": ("max_minutes: {} ", "max_minutes: {vae-fashion: 5} ", set()),
    "an expectation": ("expect: {values: [0, 400]", "expect: {values: [0, 500]", {"validate@sunspots"}),
    "a judge's steps": (JUDGE, JUDGE.replace("quick: 1200", "quick: 1100"), {"judge@fashion"}),
    "a judge's steps at another budget": (JUDGE, JUDGE.replace("full: 20000", "full: 21000"), set()),
    "the threads": ("threads: 1 ", "threads: 2 ", COMPUTES),
    "the arithmetic": ("arithmetic: native ", "arithmetic: portable ", COMPUTES),
    "the seed": ("seed: 20\n", "seed: 21\n", units("prepare judge baseline train evaluate")),
}


DUE = {  # beside the units whose plan is another
    "an experiment's hyper": {"evaluate@vae-fashion", *LAST},
    "a new experiment": LAST,
    "a task's margin": LAST,
    "the bound": LAST,
}


@pytest.mark.parametrize("row", ROWS)
def test_an_entry_re_runs_its_own_units_and_what_reads_their_outs(row: str, copy: Copy) -> None:
    old, new, expected = ROWS[row]
    edit = copy.edit("params.yaml", replace(old, new))
    assert edit.changed == expected
    assert row not in DUE or edit.due == expected | DUE[row]


def test_an_experiment_that_is_gone_re_runs_the_ranking(copy: Copy) -> None:
    text = (copy.root / "params.yaml").read_text(encoding="utf-8")
    block = text[text.index("  bayes-sunspots:") : text.index("  linear-elnino:")]
    edit = copy.edit("params.yaml", replace(block, ""))
    assert edit.changed == {"rank", "report"}
    assert edit.before.keys() - edit.after.keys() == {"train@bayes-sunspots", "evaluate@bayes-sunspots"}


def test_another_place_of_a_file_re_runs_its_fetching_alone(copy: Copy) -> None:
    own = "raw: {files: [{name: a.csv, sha256: %s, places: ['https://%s/a.csv']}]}"
    one, two = (copy.edit("params.yaml", replace("raw: elnino", own % ("a" * 64, host))) for host in ("a.org", "b.org"))
    assert Edit(one.after, two.after).changed == {"fetch@elnino"}
