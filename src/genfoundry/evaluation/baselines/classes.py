"""Baseline classifiers of images: the largest class; logistic regression and a support vector machine on pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from genfoundry.data.iterate import iter_batches, stack_values
from genfoundry.data.label_subsets import keep_labels
from genfoundry.evaluation.baselines.base import Baseline, BaselineInputs
from genfoundry.evaluation.scores import Outputs
from genfoundry.seeding import derive_seed

if TYPE_CHECKING:
    from genfoundry.splits import Split

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Classifier = Callable[[Floats], Ints]  # (N, D) -> (N,)
MAX_ITEMS = 2000  # labelled items that classifiers are fitted to
FOLDS = 5
PENALTIES = {"logistic": (1e-3, 1e-2, 1e-1, 1.0), "svm": (1.0, 3.0, 10.0, 30.0)}  # scikit-learn's C
WIDTHS = (0.1, 0.3, 1.0)  # gamma times the number of values


def fit_classifiers(inputs: BaselineInputs) -> list[Baseline]:
    """The majority class, and classifiers that learn from the same labels as the task's models.

    Both classifiers choose their regularisation by cross-validation on these labels alone, whole groups a fold.
    Of more than `MAX_ITEMS` labelled items they learn from so many, and their names say it.
    """
    train = inputs.train if inputs.labels is None else keep_labels(inputs.train, inputs.labels, inputs.dataset, 0)
    label = torch.cat([b.label for b in iter_batches(train) if b.label is not None]).cpu()  # (N,), -1: unlabelled
    majority, index = label[label >= 0].bincount().argmax(), (label >= 0).nonzero()[:, 0]
    baselines = [Baseline("majority-class", "baseline", "none", lambda s: {"classes": majority.expand(len(s))})]
    if len(set(label[index].tolist())) < 2:
        return baselines
    suffix = f"-{MAX_ITEMS}" if len(index) > MAX_ITEMS else ""
    draw = torch.Generator().manual_seed(derive_seed(inputs.seed, "classifiers"))
    index = index[torch.randperm(len(index), generator=draw)[:MAX_ITEMS]]
    items = torch.cat([b.x.cpu() for b in iter_batches(train, index)]).flatten(1).double().numpy()  # (n, D)
    # One scale for all values: a pixel that never changes has none of its own
    mean, scale = items.mean(0), items.std() or 1.0
    x, y = (items - mean) / scale, label[index].numpy()
    folds = make_folds(y, train.groups[index].numpy(), derive_seed(inputs.seed, "folds") % 2**32)

    def as_baseline(name: str, classify: Classifier) -> Baseline:
        def predict(split: Split) -> Outputs:
            return {"classes": torch.from_numpy(classify((stack_values(split) - mean) / scale))}

        return Baseline(name + suffix, "reference", "none", predict)

    logistic, svm = fit_logistic_regression(x, y, folds), fit_rbf_svm(x, y, folds)
    return [*baselines, as_baseline("logistic-regression", logistic), as_baseline("rbf-svm", svm)]


def fit_logistic_regression(x: Floats, y: Ints, folds: Sequence[Any]) -> Classifier:
    """Fit multinomial logistic regression with an L2 penalty to x (N, D) of unit variance and classes y (N,)."""
    from sklearn.linear_model import LogisticRegression

    classify, _ = _cross_validate(LogisticRegression(max_iter=100, tol=1e-2), PENALTIES["logistic"], x, y, folds)
    return classify


def fit_rbf_svm(x: Floats, y: Ints, folds: Sequence[Any]) -> Classifier:
    """Fit a support vector machine with a Gaussian kernel (Cortes, Vapnik 1995), its width by cross-validation."""
    from sklearn.metrics.pairwise import euclidean_distances
    from sklearn.svm import SVC

    squared = euclidean_distances(x, squared=True)  # (N, N), once for all widths
    tried = []
    for gamma in (width / x.shape[1] for width in WIDTHS):
        kernel = SVC(kernel="precomputed", random_state=0)
        tried.append((gamma, *_cross_validate(kernel, PENALTIES["svm"], np.exp(-gamma * squared), y, folds)))
    gamma, classify, _ = max(tried, key=lambda candidate: candidate[2])  # of equals the widest kernel
    return lambda items: classify(np.exp(-gamma * euclidean_distances(items, x, squared=True)))


def _cross_validate(
    model: Any, penalties: Sequence[float], x: Floats, y: Ints, folds: Sequence[Any]
) -> tuple[Classifier, float]:
    """The model fitted to all items with the best C, and its accuracy in cross-validation."""
    from sklearn.model_selection import GridSearchCV

    if not folds:
        return model.set_params(C=1.0).fit(x, y).predict, 0.0  # too few items to choose
    search = GridSearchCV(model, {"C": list(penalties)}, cv=folds).fit(x, y)
    return search.predict, float(search.best_score_)


def make_folds(y: Ints, group: Ints, seed: int) -> list[tuple[Ints, Ints]]:
    """Positions (train, validation) of each fold, whole groups a fold; none where a class has one item or group."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    least = min(len(np.unique(group[y == c])) for c in np.unique(y))  # groups of the rarest class
    if least < 2:
        return []
    if len(np.unique(group)) == len(group):
        return list(StratifiedKFold(min(FOLDS, least), shuffle=True, random_state=seed).split(y, y))
    return list(StratifiedGroupKFold(min(FOLDS, least), shuffle=True, random_state=seed).split(y, y, group))
