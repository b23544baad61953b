"""chrF and BLEU against sacrebleu's own, exact lines by hand, and trivial translations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import toys
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from torch import Tensor

from genfoundry.data.modalities.pairs import encode_padded
from genfoundry.data.splits.pairs import PairSplit
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.baselines import base as baselines
from genfoundry.evaluation.baselines.pairs import fit_dictionary
from genfoundry.evaluation.context import EvalContext, SplitContext
from genfoundry.evaluation.metrics import translation, translation_corpus
from genfoundry.evaluation.objectives import computable_objectives
from genfoundry.evaluation.panels import write_predictions
from genfoundry.evaluation.predict import predict, score
from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.types import Spec

LETTERS = "".join(map(chr, range(32, 127)))
SPEC = Spec((40,), len(LETTERS) + 1, cond_shape=(40,), cond_levels=len(LETTERS) + 1)
PAIRS = [
    ("I haue heard", "I have heard"), ("Vpon a fearfull Summons.", "Upon a fearful summons."),
    ("Haue after. To what issue will this come?", "Have after. To what issue will this come"),
    ("He wil not haue it", "He will not have it"), ("haue", "have"), ("a", "a"), ("Nay, let's follow him.", "Nay!"),
]  # fmt: skip
MADE = ["I have heard", "Upon a fearfull summons", "", "Hee will not haue it", "haue", "b", "Nay, let us follow him."]


def split(pairs: list[tuple[str, str]] = PAIRS) -> PairSplit:
    source, target = zip(*pairs, strict=True)
    cond, before = encode_padded([s[:40] for s in source], LETTERS, 40)
    x, length = encode_padded([t[:39] for t in target], LETTERS, 40)
    arrays = {"x": x, "length": length, "cond": cond, "cond_length": before}
    held = {key: torch.as_tensor(value) for key, value in arrays.items()}
    return PairSplit("test", {**held, "alphabet": torch.tensor([ord(c) for c in LETTERS])}, SPEC)


class Says(GenerativeModel):
    """Translates what it has heard of."""

    likelihood = "none"

    def translate(self, cond: Tensor, cond_mask: Tensor | None = None) -> Tensor:
        data = split()
        known = dict(zip(data.texts(data.eval_batch(torch.arange(len(data))).cond), MADE, strict=True))  # type: ignore[arg-type]
        return torch.as_tensor(encode_padded([known[s] for s in data.texts(cond)], LETTERS, 40)[0]).long()


def test_scores_are_sacrebleu_s() -> None:
    data = split()
    found = predict(Says(SPEC, Hyper()), SplitContext(split=data, samples=4, seed=0))
    made, true = translation.read_texts(found["translated"], data)
    assert sorted(made) == sorted(MADE)
    scores = score(found, SplitContext(split=data))
    each = [CHRF().sentence_score(a, [b]).score for a, b in zip(made, true, strict=True)]
    assert scores["chrf"] == pytest.approx(each)
    assert scores["exact_lines"].sum() == 1
    assert aggregate(scores, 40, "pairs", on_test=False)["chrf"] == pytest.approx(np.mean(each))
    whole = aggregate({**scores, **translation_corpus.count_corpus(found, SplitContext(split=data))}, 40, "pairs")
    assert whole["chrf_corpus"] == pytest.approx(CHRF().corpus_score(made, [true]).score)
    assert whole["bleu"] == pytest.approx(BLEU().corpus_score(made, [true]).score)
    assert whole["exact_lines"] == pytest.approx(1 / 7)
    assert whole["bleu_low"] <= whole["bleu"] <= whole["bleu_high"]
    assert not [name for name in whole if "counts" in name]


def test_edges() -> None:
    assert translation.compute_chrf(translation.count_grams(["", "ab", "a b"], ["ab", "", "ab"])).tolist() == [
        0,
        0,
        100,
    ]
    assert translation_corpus.compute_bleu(
        translation_corpus.count_words(["the same four words"], ["the same four words"]).sum(0)
    ) == pytest.approx(100)


def test_trivial_translations() -> None:
    train, data = split(3 * PAIRS), split()
    assert fit_dictionary(train)["haue"] == "have"
    assert "issue" not in fit_dictionary(split(PAIRS[6:]))  # of as many words alone
    known = baselines.BaselineInputs(train, {"test": data}, {"test": 4})
    found = {
        row.name: score(row.predict(data), SplitContext(split=data)) for row in baselines.fit_baselines(known, "pairs")
    }
    assert found["copy"]["exact_lines"].sum() == 1
    assert found["dictionary"]["chrf"].mean() > found["copy"]["chrf"].mean()
    assert [row.name for row in baselines.fit_anchors(known, "pairs")] == ["copy"]


def test_a_corpus_has_counts_on_test_and_a_table(tmp_path: Path) -> None:
    data = split()
    context = EvalContext(dataset=None, train=data, split=data, samples=4)  # type: ignore[arg-type]
    seen = toys.examine(Says(SPEC, Hyper()), context, "pairs")
    assert set(seen.scores) == {"chrf_counts", "bleu_counts"}
    write_predictions(tmp_path, seen.outputs, data, {"modality": "pairs", "alphabet": LETTERS})
    table = (tmp_path / "translations.txt").read_text()
    assert "source      I haue heard\ntranslated  I have heard\ntrue        I have heard\n" in table


def test_only_what_translates_can_be_ranked_by_it() -> None:
    assert "chrf" in computable_objectives(Says, "pairs")
    assert "chrf" not in computable_objectives(GenerativeModel, "pairs")
    assert "chrf" not in computable_objectives(Says, "text")
