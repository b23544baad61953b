"""Models and in-flight state on disk: safetensors + JSON, atomically written; no code runs on load."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from genfoundry import config, models
from genfoundry.files import alone as alone
from genfoundry.files import canonical as canonical
from genfoundry.files import fresh as fresh
from genfoundry.files import read_json as read_json
from genfoundry.files import remove_tree as remove_tree
from genfoundry.files import sha256 as sha256
from genfoundry.files import write_bytes as write_bytes
from genfoundry.files import write_json as write_json
from genfoundry.types import Spec, UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from genfoundry.models.base import Learner


def save(folder: Path, model: Learner, card: Mapping[str, Any]) -> str:
    """Write `weights.safetensors` and `model.json`; returns the digest of weights, class, configuration, spec."""
    from safetensors.torch import save as packed

    with fresh(folder) as new:
        write_bytes(new / "weights.safetensors", packed(_state(model)))
        weights = sha256(new / "weights.safetensors")
        identity = {
            "model": type(model).__module__.rsplit(".", 1)[-1],
            "config": model.config.model_dump(mode="json"),
            "spec": model.spec.to_json(),
        }
        digest = hashlib.sha256((canonical(identity) + weights).encode()).hexdigest()
        digests = {**card.get("digests", {}), "weights": weights}
        write_json(new / "model.json", {**card, **identity, "digests": digests, "digest": digest})
    return digest


def _state(model: Learner) -> dict[str, Tensor]:
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}


def load(folder: Path | str, device: torch.device | str = "cpu") -> Learner:
    """The model in `folder`, in evaluation mode; `model.card` is model.json's content.

    Raises:
        UserError: a file is missing or damaged, or the tensors do not fit model.json.
    """
    folder = Path(folder)
    card = read_json(folder / "model.json")
    model = _described(card, folder / "model.json")
    fill(model, read_tensors(folder / "weights.safetensors"), folder / "weights.safetensors")
    model.card = card
    return model.to(device).eval()


def _described(card: Any, path: Path) -> Learner:
    """The model that model.json describes, its weights still to be filled in."""
    missing = [key for key in ("model", "config", "spec") if not isinstance(card, dict) or card.get(key) is None]
    if missing:
        raise UserError(f"{path}: not a model's description: {', '.join(missing)} missing")
    try:
        kind = models.find(card["model"])
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    checked = config.check(kind.Config, card["config"], "config", str(path))
    try:
        return kind(Spec.from_json(card["spec"]), checked)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: spec does not suit model {card['model']!r}: {reason}") from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        UserError: not there, truncated, or something else.
    """
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable as safetensors: {error}") from None


def fill(model: Learner, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy `tensors` into the model; every name, shape and type must fit.

    Raises:
        UserError: says which tensor is missing, unknown or of another shape.
    """
    own = model.state_dict()
    faults = [f"{n} is missing" for n in own.keys() - tensors.keys()]
    faults += [f"{n} is not of this model" for n in tensors.keys() - own.keys()]
    faults += [
        f"{n} is {tuple(tensors[n].shape)} {tensors[n].dtype}, model.json wants {tuple(own[n].shape)} {own[n].dtype}"
        for n in own.keys() & tensors.keys()
        if own[n].shape != tensors[n].shape or own[n].dtype != tensors[n].dtype
    ]
    if faults:
        raise UserError(f"{path}: does not fit model.json: {'; '.join(sorted(faults)[:3])} ({len(faults)} in all)")
    model.load_state_dict(dict(tensors))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], note: object) -> None:
    """Tensors and one JSON note in one file, atomically: weights and counters cannot come apart."""
    from safetensors.torch import save

    # One metadata key only: with two, safetensors writes them in another order every process.
    plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    write_bytes(path, save(plain, metadata={"note": json.dumps(note, sort_keys=True)}))


def read_note(path: Path) -> Any:
    """The JSON note of a file that `write_tensors` wrote."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {})["note"])
