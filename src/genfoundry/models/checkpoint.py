"""Checkpoints of models: safetensors and JSON, written atomically; no code runs on load."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import config, models
from genfoundry.errors import UserError
from genfoundry.files import (
    copy_tensors,
    read_json,
    read_tensors,
    replace_dir,
    sha256,
    to_canonical_json,
    write_bytes,
    write_json,
)
from genfoundry.types import Spec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from genfoundry.models.base import Learner


def save(folder: Path, model: Learner, card: Mapping[str, Any]) -> str:
    """Write `weights.safetensors` and `model.json`; returns the digest of weights, class, configuration and spec."""
    from safetensors.torch import save as packed

    with replace_dir(folder) as new:
        write_bytes(new / "weights.safetensors", packed(copy_tensors(model.state_dict())))
        weights = sha256(new / "weights.safetensors")
        identity = {
            "model": type(model).__module__.rsplit(".", 1)[-1],  # the name of its file
            "config": model.config.model_dump(mode="json"),
            "spec": model.spec.to_json(),
        }
        # Not the digest of the files: scores and dates in `card` do not change what the model computes
        digest = hashlib.sha256((to_canonical_json(identity) + weights).encode()).hexdigest()
        digests = {**card.get("digests", {}), "weights": weights}
        write_json(new / "model.json", {**card, **identity, "digests": digests, "digest": digest})
    return digest


def load(folder: Path | str, device: torch.device | str = "cpu", kind: type[Learner] | None = None) -> Learner:
    """Load the model in `folder`, in eval mode; `model.card` is the content of model.json.

    `kind` is its class, where it is no file of `models`.

    Raises:
        UserError: a file is missing or damaged, or the tensors do not fit model.json.
    """
    folder = Path(folder)
    card = read_json(folder / "model.json")
    model = _build(card, folder / "model.json", kind)
    load_weights(model, read_tensors(folder / "weights.safetensors"), folder / "weights.safetensors")
    model.card = card
    return model.to(device).eval()


def _build(card: Any, path: Path, kind: type[Learner] | None) -> Learner:
    """Build the model that model.json describes, with random weights."""
    missing = [key for key in ("model", "config", "spec") if not isinstance(card, dict) or card.get(key) is None]
    if missing:
        raise UserError(f"{path}: not a model's description: {', '.join(missing)} missing")
    try:
        kind = kind or models.find(card["model"])
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    checked = config.check(kind.Config, card["config"], "config", str(path))
    try:
        return kind(Spec.from_json(card["spec"]), checked)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    # A constructor may raise any of these if model.json was edited by hand
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: spec does not suit model {card['model']!r}: {reason}") from None


def load_weights(model: Learner, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy `tensors` into the model; every name, shape and type must match.

    Raises:
        UserError: a tensor is missing, unknown, or of another shape or type.
    """
    expected = model.state_dict()
    faults = [f"{name} is missing" for name in expected.keys() - tensors.keys()]
    faults += [f"{name} is not of this model" for name in tensors.keys() - expected.keys()]
    for name in expected.keys() & tensors.keys():
        have, want = ((tuple(t[name].shape), t[name].dtype) for t in (tensors, expected))
        if have != want:
            faults.append(f"{name} is {have[0]} {have[1]}, model.json wants {want[0]} {want[1]}")
    if faults:
        raise UserError(f"{path}: does not fit model.json: {'; '.join(sorted(faults)[:3])} ({len(faults)} in all)")
    model.load_state_dict(dict(tensors))
