"""Trivial classifiers of images: the largest class; logistic regression and a support vector machine on values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from genfoundry.data.iterate import iter_batches, stack_values
from genfoundry.data.label_subsets import keep_labels
from genfoundry.evaluation.baselines.base import Known, Row
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.splits import Split

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Classifier = Callable[[Floats], Ints]  # (N, D) -> (N,)
MOST = 2000  # labelled items that are learnt from
FOLDS = 5
PENALTIES = {"logistic": (1e-3, 1e-2, 1e-1, 1.0), "svm": (1.0, 3.0, 10.0, 30.0)}  # scikit-learn's C
WIDTHS = (0.1, 0.3, 1.0)  # gamma times the number of values


def classifiers(known: Known) -> list[Row]:
    """The class that most labelled training items are of, and what learns from the same labels as the task's models.

    Both classifiers choose their regularisation by cross-validation on these labels alone, whole groups a fold.
    Of more than `MOST` labelled items they learn from so many, and their names say it.
    """
    train = known.train if known.labels is None else keep_labels(known.train, known.labels, known.dataset, 0)
    label = torch.cat([b.label for b in iter_batches(train) if b.label is not None]).cpu()
    most, at = label[label >= 0].bincount().argmax(), (label >= 0).nonzero()[:, 0]
    found = [Row("majority-class", "baseline", "none", lambda split: {"classes": most.expand(len(split))})]
    if len(set(label[at].tolist())) < 2:
        return found
    suffix = f"-{MOST}" if len(at) > MOST else ""
    draw = torch.Generator().manual_seed(derive_seed(known.seed, "classifiers"))
    at = at[torch.randperm(len(at), generator=draw)[:MOST]]
    items = torch.cat([b.x.cpu() for b in iter_batches(train, at)]).flatten(1).double().numpy()
    centre, scale = items.mean(0), items.std() or 1.0
    x, y = (items - centre) / scale, label[at].numpy()
    folds = list(_folds(y, train.groups[at].numpy(), derive_seed(known.seed, "folds") % 2**32))

    def row(name: str, classify: Classifier) -> Row:
        def answer(split: Split) -> dict[str, torch.Tensor]:
            return {"classes": torch.from_numpy(classify((stack_values(split) - centre) / scale))}

        return Row(name + suffix, "reference", "none", answer)

    return [*found, row("logistic-regression", logistic(x, y, folds)), row("rbf-svm", svm(x, y, folds))]


def logistic(x: Floats, y: Ints, folds: Sequence[Any]) -> Classifier:
    """Multinomial logistic regression with an L2 penalty; x (N, D) of unit variance, y (N,) classes."""
    from sklearn.linear_model import LogisticRegression

    classify, _ = _tuned(LogisticRegression(max_iter=100, tol=1e-2), PENALTIES["logistic"], x, y, folds)
    return classify


def svm(x: Floats, y: Ints, folds: Sequence[Any]) -> Classifier:
    """A support vector machine with a Gaussian kernel (Cortes, Vapnik 1995), from one matrix of squared distances."""
    from sklearn.metrics.pairwise import euclidean_distances
    from sklearn.svm import SVC

    gaps = euclidean_distances(x, squared=True)
    tried = []
    for gamma in (width / x.shape[1] for width in WIDTHS):
        kernel = SVC(kernel="precomputed", random_state=0)
        tried.append((gamma, *_tuned(kernel, PENALTIES["svm"], np.exp(-gamma * gaps), y, folds)))
    gamma, classify, _ = max(tried, key=lambda one: one[2])  # of equals the widest kernel
    return lambda items: classify(np.exp(-gamma * euclidean_distances(items, x, squared=True)))


def _tuned(
    model: Any, penalties: Sequence[float], x: Floats, y: Ints, folds: Sequence[Any]
) -> tuple[Classifier, float]:
    """The model fitted on all items with the C that is most often right in cross-validation, and how often it was."""
    from sklearn.model_selection import GridSearchCV

    if not folds:
        return model.set_params(C=1.0).fit(x, y).predict, 0.0
    search = GridSearchCV(model, {"C": list(penalties)}, cv=folds).fit(x, y)
    return search.predict, float(search.best_score_)


def _folds(y: Ints, group: Ints, seed: int) -> Sequence[tuple[Ints, Ints]]:
    """Positions (train, held out) of each fold, whole groups a fold; none where a class has one item or one group."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    least = min(len(np.unique(group[y == c])) for c in np.unique(y))
    if least < 2:
        return []
    if len(np.unique(group)) == len(group):
        return list(StratifiedKFold(min(FOLDS, least), shuffle=True, random_state=seed).split(y, y))
    return list(StratifiedGroupKFold(min(FOLDS, least), shuffle=True, random_state=seed).split(y, y, group))
