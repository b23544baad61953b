"""Subsets by label: classes left out of training, few labels, the items of a tuning trial."""

from __future__ import annotations

import torch

from genfoundry.data.dataset import Subset
from genfoundry.errors import UserError
from genfoundry.seeding import derive_seed
from genfoundry.splits import Labelled, LabelledSplit, Split


def exclude_classes(split: Split, classes: tuple[int, ...], dataset: str) -> LabelledSplit:
    """The split without the items of these classes.

    Raises:
        UserError: there are no such classes, or no others.
    """
    where, count = f"data.without: data set {dataset}", split.spec.classes
    if not isinstance(split, Labelled) or not all(k < count for k in classes):
        raise UserError(f"{where}: expected numbers of its {count} classes, got {list(classes)}")
    # Unlabelled items, -1, stay: nobody knows that they are of these classes
    mask = ~torch.isin(split.label, torch.tensor(classes, device=split.label.device))
    if not mask.any():
        raise UserError(f"{where}: expected items of other classes than {list(classes)}, got none; leave out fewer")
    return split.select(mask)


def select_trial_items(val: Split, items: int | None, labels: int | None) -> Subset:
    """The items of `val` that a trial of a tuning is measured on: at most `items`, the same for every trial.

    Of a task with `labels` these are labelled and no more than that many: settings that are chosen by thousands of
    labels are not what could be chosen where there are a hundred (Oliver et al. 2018, arXiv:1804.09170, section 4.6).
    """
    if labels is not None and isinstance(val, Labelled) and (val.label >= 0).any():
        val = val.select(val.label >= 0)
        items = min(items or labels, labels)
    return Subset(val, min(items or len(val), len(val)))


def keep_labels(split: Split, count: int, dataset: str, draw: int) -> LabelledSplit:
    """The split with `count` labels, as many of each class as of any other (or one more); the others become -1.

    Which is a function of (data set, count, draw) alone: experiments that are compared learn from the same labels.

    Raises:
        UserError: there are fewer labelled items, or fewer labels than classes.
    """
    where, classes = f"data.labels: data set {dataset}", split.spec.classes
    if not isinstance(split, Labelled) or not classes or not (split.label >= 0).any():
        raise UserError(f"{where}: expected labels, got none; leave data.labels and data.labelled out")
    if count < classes:
        raise UserError(f"{where}: expected one or more for each of {classes} classes, got {count}")
    # On the CPU, so that the same labels are kept whatever device the experiments run on
    label = split.label.cpu()
    generator = torch.Generator().manual_seed(derive_seed("labels", dataset, count, draw))
    mask = torch.zeros(len(label), dtype=torch.bool)
    for c in range(classes):
        # What is left over goes to the first classes, one each
        items, quota = (label == c).nonzero()[:, 0], count // classes + (c < count % classes)
        if len(items) < quota:
            raise UserError(f"{where}: expected {quota} items of class {c} in {split.name}, got {len(items)}")
        mask[items[torch.randperm(len(items), generator=generator)[:quota]]] = True
    return split.relabel(torch.where(mask.to(split.label.device), split.label, -1))
