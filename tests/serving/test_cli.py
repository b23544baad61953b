"""What people do with a champion at the command line: draw samples, score their own file. No MLflow."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fabricated
import numpy as np
import pytest
import torch
from PIL import Image

from genfoundry import files, paths
from genfoundry.data.dataset import Dataset
from genfoundry.data.readers import images as readers_images
from genfoundry.models import checkpoint
from genfoundry.models.base import GenerativeModel
from genfoundry.models.char_rnn import CharRnn
from genfoundry.models.dcgan import Dcgan
from genfoundry.models.judge import Judge
from genfoundry.models.linear_ar import LinearAr
from genfoundry.models.vae import Vae
from genfoundry.selection import ledger, weight_store
from genfoundry.serving import cli
from genfoundry.serving.predictor import NotGenerative, Predictor
from genfoundry.tracking import package
from genfoundry.types import Batch, Spec

ALPHABET = "\n abcdeh"


def crown(root: Path, task: str, model: GenerativeModel, **meta: Any) -> None:
    """Make a model the champion of a task."""
    folder = root / "models/experiments" / task
    card = {"experiment": task, "dataset": task, "task": task, "data": {"levels": model.spec.levels, "binarise": None}}
    digest = checkpoint.save(folder, model, {**card, "meta": {"alphabet": None, "names": [], **meta}})
    line = dict.fromkeys(ledger.REQUIRED, "x") | {"task": task, "decision": "champion", "experiment": task}
    ledger.append_decision(
        root / "ledger.jsonl", {**line, "digest": digest, "weights": weight_store.describe(folder, root)}
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("champions")
    torch.manual_seed(0)
    image = Spec((1, 8, 8), 17, 3, (1, 1, 1))
    crown(root, "digits", Vae(image, Vae.Config()), modality="images")
    photo = Spec((3, 8, 8), 256)
    crown(root, "photos", Vae(photo, Vae.Config()), modality="images", declared={"size": [8, 8], "colour": "rgb"})
    crown(root, "gan", Dcgan(image, Dcgan.Config()), modality="images")
    crown(root, "plays", CharRnn(Spec((6,), len(ALPHABET)), CharRnn.Config()), modality="text", alphabet=ALPHABET)
    for name in ("digits", "gan"):
        files.write_json(root / paths.prepared(name) / "spec.json", {"spec": image.to_json()})
    fabricated.prepare(root)
    fabricated.train(root, "ar", 2)
    folder = root / "models/experiments/ar"
    line = dict.fromkeys(ledger.REQUIRED, "x") | {"task": fabricated.TASK, "decision": "champion", "experiment": "ar"}
    ledger.append_decision(root / "ledger.jsonl", {**line, "weights": weight_store.describe(folder, root)})
    return root


@pytest.fixture
def run(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(root)

    def command(*argv: object) -> tuple[int, str, str]:
        status = cli.main([str(a) for a in argv])
        return (status, *capsys.readouterr())

    return command


def test_images_are_a_picture_or_arrays(run: Any, tmp_path: Path) -> None:
    status, out, _ = run("sample", "--task", "digits", "--n", 5)
    assert status == 0
    assert out == "5 samples of shape (1, 8, 8): build/digits-samples.png\n"
    with Image.open("build/digits-samples.png") as picture:
        assert picture.format == "PNG"
    for name in ("a", "b"):
        assert run("sample", "--task", "gan", "--n", 3, "--seed", 4, "--out", tmp_path / f"{name}.npz")[0] == 0
    a, b = (np.load(tmp_path / f"{name}.npz")["images"] for name in ("a", "b"))
    assert a.shape == (3, 1, 8, 8)
    np.testing.assert_array_equal(a, b)


def test_text_goes_on_from_its_prompt(run: Any, tmp_path: Path) -> None:
    status, out, _ = run("sample", "--task", "plays", "--n", 2, "--prompt", "bad", "--length", 20)
    texts = out.removesuffix("\n").split("\n" + "-" * 72 + "\n")
    assert (status, [len(t) for t in texts], [t[:3] for t in texts]) == (0, [23, 23], ["bad", "bad"])
    run("sample", "--task", "plays", "--n", 1, "--temperature", 0, "--out", tmp_path / "t.txt")
    assert len((tmp_path / "t.txt").read_text()) == 7


def test_series_are_csv(run: Any) -> None:
    status, out, _ = run("sample", "--task", fabricated.TASK, "--n", 3)
    rows = list(csv.reader(Path(out.strip()).read_text().splitlines()))
    assert status == 0
    assert rows[0] == ["sample", "step", "height"]
    assert [r[:2] for r in rows[1:]] == [[str(i), str(t)] for i in range(3) for t in range(fabricated.WINDOW)]


def test_a_series_scores_as_its_evaluation_did(run: Any, root: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    arrays = load_file(root / paths.prepared(fabricated.DATA) / "test.safetensors")
    values = np.concatenate([arrays["past"], arrays["x"]])[:, 0]
    file = tmp_path / "new.csv"
    file.write_text("time,height\n" + "".join(f"{t},{float(v)!r}\n" for t, v in enumerate(values)))
    status, out, _ = run("score", "--task", fabricated.TASK, "--file", file, "--out", tmp_path / "s.csv")
    assert status == 0
    rows = list(csv.DictReader((tmp_path / "s.csv").open()))
    split, model = (
        Dataset(root / paths.prepared(fabricated.DATA)).split("test"),
        checkpoint.load(root / "models/experiments/ar"),
    )
    windows = split.train_batch(
        torch.arange(0, split.positions, split.spec.shape[0])
    )  # side by side, as a file is read
    truth = model.measure(windows)["nll"] / split.spec.dims
    assert [float(r["nats"]) for r in rows] == pytest.approx(truth.tolist(), abs=1e-6)
    assert f"{len(rows)} items: " in out


def test_images_score_in_bits_a_value(run: Any, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 17, (4, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "new.npz", images=images)
    status, out, _ = run("score", "--task", "digits", "--file", tmp_path / "new.npz", "--out", tmp_path / "s.csv")
    assert status == 0
    assert "4 items" in out
    assert "bits_per_dim (upper bound)" in out
    rows = list(csv.DictReader((tmp_path / "s.csv").open()))
    assert float(rows[0]["bits_per_dim"]) == pytest.approx(float(rows[0]["nats"]) / 64 / np.log(2))


def test_text_scores_every_character_it_knows(run: Any, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("a bad bed, a dead head\n")
    status, out, err = run("score", "--task", "plays", "--file", tmp_path / "new.txt", "--out", tmp_path / "s.csv")
    assert status == 0
    assert "1 of 24 characters are not in the model's alphabet" in err
    assert "4 items" in out
    assert "nats_per_char" in out


BAD = [
    (
        ("sample", "--task", "digit"),
        "expected a task with a champion (digits, gan, photos, plays, waves-density), got 'digit'",
    ),
    (("sample", "--task", "digits", "--n", 0), "n: 0: expected a whole number from 1 to"),
    (("sample", "--task", "digits", "--prompt", "x"), "prompt: 'x': expected none for images"),
    (("sample", "--task", "digits", "--label", 3), "label: 3: expected 0 to 2, or -1"),
    (("sample", "--task", "digits", "--out", "x.gif"), "written as .png (a grid) or .npz"),
    (("sample", "--task", "plays", "--prompt", "bad!"), "character 4, '!', is not in the model's alphabet"),
    (("sample", "--task", "plays", "--top-p", 0), "0 < top_p <= 1"),
    (("score", "--task", "plays", "--file", "none.txt"), "none.txt: no such file"),
    (("score", "--task", "gan", "--file", "/dev/null"), "has no likelihood and cannot score"),
    (("score", "--task", "digits", "--file", "/dev/null"), "no images; .npz, IDX"),
]


@pytest.mark.parametrize(("argv", "message"), BAD)
def test_a_bad_request_is_one_line(run: Any, argv: tuple[object, ...], message: str) -> None:
    status, _, err = run(*argv)
    assert status == 1
    assert message in err
    assert err.count("\n") == 1


FILES = [
    ("plays", "x.txt", b"", "expected one line of text or more, got none"),
    ("plays", "x.txt", b"caf\xe9", "byte 3 is not UTF-8"),
    ("plays", "x.txt", b"\xff\xfe\xff", "byte 2 is not UTF-16"),
    ("plays", "x.txt", b"XYZ", "no character of the model's alphabet"),
    (fabricated.TASK, "x.csv", b"time,height\n1,abc\n", "abc"),
    (fabricated.TASK, "x.csv", b"time,height\n1,\n", "missing"),
    (fabricated.TASK, "x.csv", b"time,height\n1,2\n", "needs 4 rows of past and 5 rows to score"),
    ("digits", "x.png", b"no picture", "not readable as an image"),
    ("digits", "x.npz", b"no arrays", "not readable as .npz"),
]


@pytest.mark.parametrize(("task", "name", "content", "message"), FILES)
def test_a_bad_file_is_one_line(run: Any, tmp_path: Path, task: str, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    status, _, err = run("score", "--task", task, "--file", tmp_path / name)
    assert (status, err.count("\n")) == (1, 1)
    assert message in err


def test_images_of_another_size_or_range_are_refused(run: Any, tmp_path: Path) -> None:
    for shape, value, message in (((9, 9), 0, "this model knows (1, 8, 8)"), ((8, 8), 200, "grey value 200")):
        file = io.BytesIO()
        Image.fromarray(np.full(shape, value, np.uint8)).save(file, "png")
        (tmp_path / "x.png").write_bytes(file.getvalue())
        status, _, err = run("score", "--task", "digits", "--file", tmp_path / "x.png")
        assert (status, err.count("\n")) == (1, 1)
        assert message in err


def test_own_files_are_read_as_the_data_set_is(run: Any, tmp_path: Path) -> None:
    """A grey picture of another size, scored where size and colour are declared, is what `prepare` would make of it."""
    big = np.random.default_rng(0).integers(0, 256, (30, 41)).astype(np.uint8)
    Image.fromarray(big).save(tmp_path / "big.png")
    small = readers_images.read_picture(tmp_path / "big.png", readers_images.Form((8, 8), "rgb"))
    np.savez(tmp_path / "small.npz", images=np.moveaxis(small, 0, -1)[None])
    scores = []
    for name in ("big.png", "small.npz"):
        out = tmp_path / f"{name}.csv"
        assert run("score", "--task", "photos", "--file", tmp_path / name, "--out", out)[0] == 0
        scores.append(next(csv.DictReader(out.open()))["nats"])
    assert scores[0] == scores[1]


def test_a_folder_and_a_short_table_are_scored_whatever_their_labels(run: Any, tmp_path: Path) -> None:
    """Folders that name classes in two ways, and rows too few to show the column of their label.

    The row's images are the folder's: the label is the last value, as in data sets that say nothing of it.
    """
    x = np.random.default_rng(0).integers(0, 17, (4, 8, 8)).astype(np.uint8)
    for image, name in zip(x, ("a/x", "a/y", "b/x", "b/y"), strict=True):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / "pictures" / name / "0.tif")
    np.savetxt(tmp_path / "rows.csv", np.column_stack([x.reshape(4, -1), [3] * 4]), fmt="%d", delimiter=",")
    scores = []
    for name in ("pictures", "rows.csv"):
        out = tmp_path / f"{name}-scores.csv"
        assert run("score", "--task", "digits", "--file", tmp_path / name, "--out", out)[0] == 0
        scores.append([row["nats"] for row in csv.DictReader(out.open())])
    assert scores[0] == scores[1] and len(scores[0]) == 4


def test_gaps_are_filled_as_the_data_set_does(run: Any, root: Path, tmp_path: Path) -> None:
    model = checkpoint.load(root / "models/experiments/ar")
    crown(root, "gappy", model, modality="series", declared={"missing": "forward", "step": 1.0})  # type: ignore[arg-type]
    values = [f"{np.sin(t):.3f}" for t in range(20)]
    filled = [values[{7: 6, 12: 11}.get(t, t)] for t in range(20)]
    tables = {
        "filled": [f"{t},{filled[t]}" for t in range(20)],
        "gappy": [f"{t},{'' if t == 7 else values[t]}" for t in range(20) if t != 12],
    }
    scores = []
    for name, lines in tables.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(["time,height", *lines]) + "\n")
        out = tmp_path / f"{name}-scores.csv"
        assert run("score", "--task", "gappy", "--file", tmp_path / f"{name}.csv", "--out", out)[0] == 0
        scores.append(out.read_text())
    assert scores[0] == scores[1]


def test_rows_are_numbered_and_gaps_are_kept(run: Any, root: Path, tmp_path: Path) -> None:
    """A file is read, and sampled after, as the data set has it: a season knows its rows, what is missing stays so."""
    from safetensors.numpy import save_file

    x = torch.sin(torch.arange(60).double() * np.pi / 2)[:, None] * 5 + torch.randn(60, 1).double() * 0.1
    model = LinearAr(Spec((5, 1), None, cond_shape=(6, 2)), LinearAr.Config(order=1, season=4))
    model.begin("fit", SimpleNamespace(tensor=x[:41]))  # type: ignore[arg-type]
    declared = {"missing": "keep", "numbered": True, "columns": ["height"]}
    crown(root, "counted", model, modality="series", names=["height"], declared=declared)
    x[[43, 50]] = torch.nan
    (root / paths.prepared("counted")).mkdir(parents=True)
    arrays = {"x": x[41:].numpy().copy(), "past": x[35:41].numpy().copy(), "first": np.array([41])}
    save_file(arrays, root / paths.prepared("counted") / "test.safetensors")
    cells = [(f"{v:.17g}" if v == v else "") for v in x[:, 0].tolist()]
    (tmp_path / "x.csv").write_text("time,other,height\n" + "".join(f"{t},a,{v}\n" for t, v in enumerate(cells)))
    out = tmp_path / "s.csv"
    assert run("score", "--task", "counted", "--file", tmp_path / "x.csv", "--out", out)[0] == 0
    scored = [float(row["nats"]) for row in csv.DictReader(out.open())]
    rows = torch.cat([x, torch.arange(60)[:, None].double()], 1)
    for at, nats in zip(range(6, 56, 5), scored, strict=True):
        window = x[None, at : at + 5]
        nll = model.measure(Batch(window, cond=rows[None, at - 6 : at]))["nll"].item()
        assert nll / int((~window.isnan()).sum()) == pytest.approx(nats, abs=1e-6)
    status, stdout, _ = run("sample", "--task", "counted", "--n", 1, "--temperature", 0)
    drawn = [float(row["height"]) for row in csv.DictReader(Path(stdout.strip()).read_text().splitlines())]
    assert status == 0 and drawn == pytest.approx([0, 5, 0, -5, 0], abs=0.5)


def test_no_mlflow_is_needed(root: Path) -> None:
    code = (
        "import sys; sys.modules['mlflow'] = None; from genfoundry.serving import cli; "
        "sys.exit(cli.main(['sample', '--task', 'plays', '--n', '1']))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True)


def test_what_draws_no_samples_is_packaged_as_it_is_and_says_so(tmp_path: Path) -> None:
    """A judge stands for every such learner."""
    spec = Spec((1, 8, 8), 17, 3, (1, 1, 1))
    checkpoint.save(tmp_path / "model", Judge(spec, Judge.Config()), {"meta": {"modality": "images"}})
    with pytest.raises(NotGenerative, match="a Judge neither samples nor scores"):
        Predictor(tmp_path / "model")
    package.save_mlflow_model(tmp_path / "model", tmp_path / "out", tmp_path / "requirements.lock", {})
    assert isinstance(checkpoint.load(tmp_path / "out"), Judge)
