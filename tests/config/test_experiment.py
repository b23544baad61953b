"""The edge: every mistake in params.yaml is one line that names key, value and alternatives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from genfoundry.errors import UserError
from genfoundry.models.char_rnn import CharRnn
from genfoundry.training import device
from pipeline.orchestration import resolve

ROOT = Path(__file__).parents[2]
PATCH = {"size": 16, "stride": 8, "region": 32}


@pytest.fixture
def params() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def wrong(tmp_path: Path, params: dict[str, Any]) -> str:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    try:
        found = list(resolve.find_faults(resolve.load_params(path)))
    except UserError as error:
        return str(error)
    assert found, "the mistake was not seen"
    return "\n".join(found)


def test_the_default_is_right() -> None:
    assert list(resolve.find_faults(resolve.load_params(ROOT / "params.yaml"))) == []


CASES = {
    "typo in a key": (("budgit", "x"), ["budgit", "unknown key", "did you mean 'budget'"]),
    "levels that a model is not for": (
        ("experiments.vae-fashion.model", "fvsbn"),
        ["vae-fashion.model", "'fvsbn'", "'fashion-density'", "expected levels: 2", "got 256"],
    ),
    "typo deep down": (("experiments.vae-fashion.hypr", {}), ["vae-fashion.hypr", "did you mean 'hyper'"]),
    "typo in a hyperparameter": (("experiments.vae-fashion.hyper.latnt", 3), ["hyper.latnt", "did you mean 'latent'"]),
    "wrong type": (("threads", "two"), ["threads", "'two'", "integer"]),
    "a number in quotes": (
        ("experiments.vae-fashion.train.lr.model", "0.001"),
        ["train.lr.model", "'0.001'", "without quotes"],
    ),
    "a word that YAML reads as no word": (
        ("datasets.macrodata.columns", [False, 12]),
        [
            "columns.0: expected a valid string, got False",
            "columns.1: expected a valid string, got 12",
            "put it in quotes",
        ],
    ),
    "a list for a mapping": (("datasets", ["a"]), ["datasets: expected a mapping, lines of `key: value`, got ['a']"]),
    "a word for a list": (
        ("datasets.macrodata.columns", "infl"),
        ["columns: expected a list, such as [a, b], got 'infl'"],
    ),
    "an empty section": (
        ("tasks", None),
        ["params.yaml: tasks: expected a mapping", "got None", "indent what belongs there, or write {}"],
    ),
    "unknown model": (("experiments.vae-fashion.model", "vea"), ["vae-fashion.model", "'vea'", "did you mean 'vae'"]),
    "unknown data set": (("tasks.fashion-density.dataset", "fashon"), ["'fashon'", "did you mean 'fashion'"]),
    "unknown task": (("experiments.vae-fashion.task", "density"), ["'density'", "fashion-density"]),
    "unknown player": (("experiments.dcgan-fashion.train.lr.model", 0.1), ["train.lr", "critic", "generator"]),
    "a limit for nobody": (
        ("max_minutes.vae-fashon", 5),
        ["'vae-fashon'", "did you mean 'vae-fashion'"],
    ),
    "a limit of no minutes": (("max_minutes.vae-fashion", 0), ["max_minutes.vae-fashion", "0", "greater than 0"]),
    "unknown budget": (("budget", "quik"), ["'quik'", "did you mean 'quick'"]),
    "unknown objective": (("tasks.fashion-density.objective", "bpd"), ["'bpd'", "bits_per_dim"]),
    "wrong direction": (("tasks.fashion-density.direction", "maximize"), ["direction", "minimize"]),
    "search bounds that do not validate": (
        ("experiments.linear-sunspots.search", {"hyper.order": {"low": -3, "high": 9}}),
        ["search.hyper.order", "-3"],
    ),
    "a criterion that is none": (
        ("experiments.linear-sunspots.hyper.order", "bicc"),
        ["hyper.order: expected a valid integer or 'aic'", "got 'bicc'"],
    ),
    "search without a range": (
        ("experiments.linear-sunspots.search", {"hyper.order": {"low": 1}}),
        ["choices", "low and high"],
    ),
    "default outside the space": (
        ("experiments.linear-sunspots.search", {"hyper.order": {"low": 15, "high": 20}}),
        ["the default 9", "trial 0"],
    ),
    "a searched key that is not there": (
        ("experiments.linear-sunspots.search", {"hyper.oder": {"low": 1, "high": 9}}),
        ["hyper.oder", "did you mean 'order'"],
    ),
    "a range around what is no number": (
        ("experiments.vae-fashion.search", {"train.betas": {"low": 0.1, "high": 0.9}}),
        ["search.train.betas"],
    ),
    "a damage that the model does not learn to undo": (
        ("experiments.vae-fashion-denoise.hyper.noise", "salt_pepper"),
        ["vae-fashion-denoise.task", "restore_gaussian_psnr", "hyper.noise: gaussian"],
    ),
    "an objective that the model cannot compute": (
        ("experiments.dcgan-fashion.task", "fashion-density"),
        ["bits_per_dim", "dcgan", "cannot compute", "frechet"],
    ),
    "a model of another modality": (("experiments.vae-fashion.model", "char_rnn"), ["char_rnn", "text", "images"]),
    "levels that are not the task's": (("experiments.vae-fashion.data.levels", 2), ["data.levels", "256"]),
    "a key of another modality": (
        ("datasets.sunspots.flip", True),
        ["datasets.sunspots.flip", "for images only", "series"],
    ),
    "a colour that is none": (("datasets.fashion.colour", "gray"), ["fashion.colour", "'gray'", "'grey' or 'rgb'"]),
    "a size of nothing": (("datasets.fashion.size", [28, 0]), ["fashion.size", "4 or more"]),
    "a size of three": (("datasets.fashion.size", [28, 28, 3]), ["fashion.size", "[28, 28, 3]", "[height, width]"]),
    "a size for few levels": (("datasets.digits.size", 16), ["digits.levels", "17", "256"]),
    "a patch of a part of a size": (
        ("datasets.fashion", {"modality": "images", "raw": "fashion", "size": 32, "patch": PATCH}),
        ["fashion.patch", "either patch or size"],
    ),
    "a region below its patch": (("datasets.photos.patch.region", 32), ["photos.patch", "region of 64", "got 32"]),
    "patches of text": (("datasets.shakespeare.patch", PATCH), ["shakespeare.patch", "for images only"]),
    "a way to fill that is none": (("datasets.sunspots.missing", "mean"), ["sunspots.missing", "'mean'", "'forward'"]),
    "a step back": (("datasets.sunspots.step", -1), ["sunspots.step", "-1", "above 0"]),
    "a grid whose holes are dropped": (
        ("datasets.sunspots", {"modality": "series", "raw": "sunspots", "step": 1, "missing": "drop"}),
        ["sunspots.missing", "'drop'", "interpolate or forward"],
    ),
    "pairs without room": (
        ("datasets.sunspots", {"modality": "pairs", "raw": {"path": "x"}, "window": 9, "alphabet": "ab"}),
        ["sunspots.context", "got none", "longest source"],
    ),
    "a video of nothing": (
        ("datasets.sunspots", {"modality": "video", "raw": "fashion", "size": 32, "context": 5}),
        ["sunspots.moving", "got none", "how its items move"],
    ),
    "a video without given frames": (("datasets.moving.context", 0), ["moving.context", "how many frames are given"]),
    "an item above its frame": (("datasets.moving.moving.item", 40), ["moving.item", "40", "[32, 32]"]),
    "moving text": (("datasets.shakespeare.moving", {"items": 1}), ["shakespeare.moving", "for video only"]),
    "binarisation that is not stated": (
        ("tasks.fashion-density.levels", 2),
        ["fashion-density.binarise", "dynamic or threshold"],
    ),
    "binarisation of 256 levels": (
        ("tasks.fashion-density.binarise", "dynamic"),
        ["fashion-density.binarise", "'dynamic'", "levels: 2"],
    ),
    "labels that are not the task's": (("experiments.vae-fashion.data.labels", 100), ["data.labels", "100", "None"]),
    "labels of text": (("experiments.char-shakespeare.data", {"labels": 9}), ["data.labels", "images only", "text"]),
    "streams of images": (("experiments.vae-fashion.data.streams", 64), ["data.streams", "for text only", "images"]),
    "resets of no streams": (
        ("experiments.char-shakespeare.data", {"resets": 0.1}),
        ["data.resets", "0.1", "expected data.streams"],
    ),
    "fewer labels than classes": (("experiments.vae-fashion.data.labels", 9), ["data.labels", "9", "10 classes"]),
    "a share of no labels": (
        ("experiments.vae-fashion.data.labelled", 0.5),
        ["data.labelled", "0.5", "expected data.labels"],
    ),
    "seeds of an unknown budget": (
        ("experiments.vae-fashion.seeds", {"standart": 5}),
        ["'standart'", "did you mean 'standard'"],
    ),
    "steps of other budgets alone, one misspelt": (
        ("experiments.vae-fashion.steps", {"standart": 5, "full": 6}),
        ["experiments.vae-fashion.steps: unknown name 'standart'", "did you mean 'standard'"],
    ),
    "the judge as a candidate": (
        ("experiments.vae-fashion.model", "judge"),
        ["experiments.vae-fashion.model: expected a model of data (autoencoder,", "got 'judge'"],
    ),
    "steps in the wrong place": (
        ("experiments.vae-fashion.train.steps", 3),
        ["train.steps", "experiments.vae-fashion.steps"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_named(case: str, tmp_path: Path, params: dict[str, Any]) -> None:
    (dotted, value), words = CASES[case]
    node = params
    *path, last = dotted.split(".")
    for part in path:
        node = node.setdefault(part, {})
    node[last] = value
    message = wrong(tmp_path, params)
    assert all(word in message for word in words), message
    assert len(message.splitlines()) <= 3, message


def test_streams_want_a_model_that_carries_a_state(
    tmp_path: Path, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(CharRnn, "stream")
    params["experiments"]["char-shakespeare"]["data"] = {"streams": 64}
    message = wrong(tmp_path, params)
    assert "experiments.char-shakespeare.data.streams: 64: char_rnn carries no state" in message
    assert len(message.splitlines()) == 1, message


def test_training_seeds_a_budget(tmp_path: Path, params: dict[str, Any]) -> None:
    params["experiments"]["vae-fashion"]["seeds"] = {"standard": 5}
    counts = {}
    for budget in ("quick", "standard", "full"):
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params | {"budget": budget}))
        counts[budget] = len(resolve.load_experiment("vae-fashion", tmp_path / "params.yaml").keys)
    assert counts == {"quick": 1, "standard": 5, "full": 3}


def test_not_yaml(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("seed: [1, 2\nbudget: }")
    with pytest.raises(UserError, match=r"params.yaml:2: not YAML: .* in 'budget: }'"):
        resolve.load_params(path)


def test_no_params(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run from the folder that holds it"):
        resolve.load_params(tmp_path / "params.yaml")


def test_an_overlay_is_checked_by_the_same_code() -> None:
    with pytest.raises(UserError, match=r"hyper\.order"):
        resolve.load_experiment("linear-sunspots", ROOT / "params.yaml", {"hyper.order": -1})
    assert resolve.load_experiment("linear-sunspots", ROOT / "params.yaml", {"hyper.order": 4}).hyper.order == 4


def test_a_device_that_is_not_there() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(UserError, match="'cuda' is not there"):
        device.find_device("cuda")
