"""What MLflow's scoring server answers: good requests alike for a seed, bad ones by status 400 and the model's line."""

from __future__ import annotations

import json
from typing import Any

import asgi
import fabricated
import mlflow.pyfunc
import pytest
import torch
from mlflow.pyfunc import scoring_server

from genfoundry.models import checkpoint
from genfoundry.models.char_rnn import CharRnn
from genfoundry.models.vae import Vae
from genfoundry.tracking import client, package
from genfoundry.types import Spec

ALPHABET = "\n abcdeh"
PAST = [[0.0], [0.5], [1.0], [0.2]]
X = [[1.0]] * 5
IMAGE = [[[0] * 8] * 8]
JSON = "application/json"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """MLflow's server of a series, an image and a text model, each packaged and loaded as any user's."""
    root = tmp_path_factory.mktemp("models")
    client.silence_loggers()  # as a pipeline's own process: what MLflow drops is refused all the same
    fabricated.prepare(root)
    fabricated.train(root, "series", 2)
    torch.manual_seed(0)
    models = {
        "images": Vae(Spec((1, 8, 8), 17, 3, (1, 1, 1)), Vae.Config()),
        "text": CharRnn(Spec((6,), len(ALPHABET)), CharRnn.Config()),
    }
    for name, model in models.items():
        alphabet = ALPHABET if name == "text" else None
        checkpoint.save(root / "models/experiments" / name, model, {"meta": {"modality": name, "alphabet": alphabet}})
    apps = {}
    for name in ("series", *models):
        package.save_mlflow_model(root / "models/experiments" / name, root / name, root / "none.lock", {})
        apps[name] = scoring_server.init(mlflow.pyfunc.load_model(str(root / name)))
    return apps


def ask(server: Any, body: Any, kind: str = JSON) -> tuple[int, Any]:
    """Status, and predictions or message."""
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    status, content = asgi.post(server, "/invocations", raw, kind)
    answer = json.loads(content)
    return status, answer.get("predictions", answer.get("message")) if isinstance(answer, dict) else answer


def records(*rows: dict[str, Any], **params: Any) -> dict[str, Any]:
    return {"dataframe_records": list(rows), **({"params": params} if params else {})}


FORMS = [
    {"dataframe_records": [{"n": 2, "past": PAST}]},
    {"dataframe_split": {"columns": ["past", "n"], "data": [[PAST, 2]]}},
    {"inputs": {"n": 2, "past": PAST}},
    {"inputs": {"n": [2], "past": [PAST]}},
    {"inputs": [{"n": 2, "past": PAST}]},
    {"instances": [{"n": 2, "past": PAST}]},
    {"dataframe_records": [{"n": 2.0, "past": PAST * 9, "x": None}, {"n": 1, "past": PAST}]},
]


def test_every_form_of_a_request_is_answered_alike(servers: dict[str, Any]) -> None:
    answers = [ask(servers["series"], form) for form in FORMS[:-1]]
    assert {status for status, _ in answers} == {200}
    first = answers[0][1]
    assert [row["row"] for row in first] == [0, 0] and len(first[0]["sample"]) == 5
    assert all(answer == first for _, answer in answers)
    status, answer = ask(servers["series"], f'n,past\n2,"{json.dumps(PAST)}"\n', "text/csv")
    assert (status, answer) == (200, first)


def test_a_seed_repeats_and_another_differs(servers: dict[str, Any]) -> None:
    row = {"n": 2, "past": PAST}
    answers = [ask(servers["series"], records(row, seed=seed)) for seed in (3, 3, -3, None, 0)]
    assert {status for status, _ in answers} == {200}
    answer = [rows for _, rows in answers]
    assert answer[0] == answer[1] != answer[2] != answer[3] == answer[4]


def test_scores(servers: dict[str, Any]) -> None:
    status, answer = ask(servers["series"], records({"x": X, "past": PAST}, {"x": X, "past": PAST * 2}))
    assert status == 200 and [row["row"] for row in answer] == [0, 1]
    assert answer[0]["nats"] == pytest.approx(answer[0]["nll"] / 5)
    assert answer[0]["nll"] == answer[1]["nll"]  # the model looks back on the last four steps
    status, answer = ask(servers["text"], records({"text": "abc"}))
    assert status == 200 and answer[0].keys() == {"row", "nll", "nats_per_char"}
    status, answer = ask(servers["images"], {"inputs": {"x": [IMAGE] * 2}})
    assert status == 200 and [row["row"] for row in answer] == [0, 1]


def test_a_prompt_by_itself_is_a_request(servers: dict[str, Any]) -> None:
    status, answer = ask(servers["text"], {"prompt": "abc", "n": 2, "seed": 1})
    assert (status, [row["sample"][:3] for row in answer]) == (200, ["abc", "abc"])


N = "expected a whole number from 1 to 100000"
SHAPE = "expected a nested list of numbers of shape (4, 1)"
FORM = 'expected rows with columns among n, past, x, such as {"dataframe_records": [{"n": 2}]}'
STEPS = "expected shape (P, 1), P at least 4"
BAD: list[tuple[str, Any, str]] = [
    *(
        ("series", records({"n": n, "past": PAST}), f"n: {n!r}: {N}")
        for n in (0, -1, 10**9, 1.5, "2", True, [1], 10**30)
    ),
    ("series", records({"n": 2}), f"past: none: {STEPS}"),
    ("series", records({"n": 1, "past": PAST[:2]}), f"past: shape (2, 1): {STEPS}"),
    ("series", records({"n": 1, "past": [1, 2, 3, 4]}), f"past: shape (4,): {STEPS}"),
    ("series", records({"n": 1, "past": [[1], [2, 3]]}), f"past: lists of unequal length: {SHAPE}"),
    ("series", records({"n": 1, "past": [["1"]] * 4}), f"past: [['1'], ['1'], ['1'], ['1']]: {SHAPE}"),
    ("series", records({"n": 1, "past": [[True]] * 4}), f"past: [[True], [True], [True], [True]]: {SHAPE}"),
    ("series", records({"n": 1, "past": "abc"}), f"past: 'abc': {SHAPE}"),
    ("series", records({"n": 1, "past": {"a": 1}}), f"past: {{'a': 1}}: {SHAPE}"),
    (
        "series",
        records({"n": 1, "past": [[None]] * 4}),
        "past: a value is missing or infinite: expected finite numbers",
    ),
    (
        "series",
        records({"n": 1, "past": [[1e300]] * 4}),
        "past: values up to 1e+300: expected numbers up to 1e+150",
    ),
    ("series", records({"wrong": 2}), "'wrong': unknown column; expected columns: n, past, x"),
    ("series", records({"n": 1, "past": PAST, "Past": PAST}), "'Past': unknown column; expected columns: n, past, x"),
    ("series", records(), f"request: nothing is asked for; {FORM}"),
    ("series", records({"x": None}), "x: null in every row: expected a value to score, or no such column"),
    ("series", records({"x": X}), f"past: none: {STEPS}"),
    ("series", records({"x": X, "past": PAST[:3]}), f"past: shape (3, 1): {STEPS}"),
    ("series", records({"x": X[:4], "past": PAST}), "x: 1 items of shape (4, 1): expected items of shape (5, 1)"),
    (
        "series",
        records({"x": X, "past": PAST}, {"n": 1, "past": PAST}),
        "x: missing in row 1: expected in every row, or",
    ),
    ("series", records({"x": X, "past": PAST, "n": 3}), "n: 3: expected no such column beside what is scored"),
    ("series", records({"n": 1, "past": PAST}, {"n": 1, "past": [5]}), f"row 1: past: shape (1,): {STEPS}"),
    ("series", records(*[{"n": 10**5, "past": PAST}] * 2), f"n: 200000: {N}"),
    ("series", {"inputs": [1, 2, 3]}, f"request: [1, 2, 3]: {FORM}"),
    ("series", {"inputs": "abc"}, f"request: 'abc': {FORM}"),
    ("series", {"inputs": {"n": [2, 3], "past": [PAST]}}, "request: columns of unequal length (n 2, past 1 rows)"),
    ("series", {"instances": [1]}, f"request: [1]: {FORM}"),
    ("series", {"dataframe_split": {"columns": ["n"], "data": [[1]]}}, f"past: none: {STEPS}"),
    (
        "series",
        {"dataframe_split": {"columns": ["n", "n"], "data": [[1, 1]]}},
        "columns ['n', 'n']: expected each of them",
    ),
    ("series", records({"n": 1, "past": PAST}, seed=2**63), f"seed: {2**63}: expected a whole number from -"),
    (
        "series",
        records({"n": 1, "past": PAST}, temperature=-1),
        "temperature: -1.0: expected 0 (the likeliest value), or",
    ),
    ("series", records({"n": 1, "past": PAST}, temperature=float("nan")), "temperature: nan: expected a finite number"),
    ("series", records({"n": 1, "past": PAST}, top_k=-1), "top_k: -1: expected a whole number, 0 for all values"),
    ("series", records({"n": 1, "past": PAST}, top_p=0), "top_p: 0.0: expected 0 < top_p <= 1"),
    (
        "series",
        records({"n": 1, "past": PAST}, length=5),
        "length: 5: expected a number of characters for text, 0 for series",
    ),
    ("images", records({"n": 1}, label=3), "label: 3: expected 0 to 2, or -1 for any class"),
    ("images", records({"n": 1, "prompt": "a"}), "'prompt': unknown column; expected columns: n, x"),
    ("images", records({"x": IMAGE[0]}), "x: 1 items of shape (8, 8): expected items of shape (1, 8, 8)"),
    ("images", records({"x": [[[99] * 8] * 8]}), "x: values 99 to 99: expected whole ones from 0 to 16"),
    ("text", records({"prompt": "abz"}), "prompt: character 3, 'z', is not in the model's alphabet"),
    ("text", records({"prompt": 5}), "prompt: 5: expected a text"),
    ("text", records({"text": ["a"]}), "text: ['a']: expected a text"),
    ("text", records({"n": 1}, length=10**9), "length: 1000000000: expected up to 100000000 characters"),
    ("text", records({"n": 2}, length=10**8), "n: 2: expected a whole number from 1 to 1 (of 100000000 values each)"),
    (
        "text",
        records({"n": 1}, temperature=1e-300),
        "temperature: 1e-300: expected 0 (the likeliest value), or 1e-30 <=",
    ),
]


@pytest.mark.parametrize(("model", "body", "line"), BAD)
def test_a_bad_request_is_status_400_and_one_line(servers: dict[str, Any], model: str, body: Any, line: str) -> None:
    status, message = ask(servers[model], body)
    assert (status, "\n" in message) == (400, False)
    assert line in message


def test_a_parameter_that_is_unknown_is_refused(servers: dict[str, Any]) -> None:
    """MLflow drops it with a warning; `dropped_params` reads that warning."""
    status, message = ask(servers["series"], records({"n": 1, "past": PAST}, sede=3, temp=1.0))
    wanted = "'sede', 'temp': unknown parameter; expected label, length, seed, temperature, top_k, top_p"
    assert (status, message) == (400, wanted)


@pytest.mark.parametrize(
    "params", [{"seed": 1.5}, {"seed": "a"}, {"seed": True}, {"seed": [1]}, {"temperature": "hot"}, [1]]
)
def test_a_parameter_of_another_type_is_mlflows_to_refuse(servers: dict[str, Any], params: Any) -> None:
    status, message = ask(servers["series"], {**records({"n": 1, "past": PAST}), "params": params})
    assert status == 400
    assert all(text in message for text in (params if isinstance(params, dict) else ["must be a dictionary"]))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("not json", JSON),
        ("[]", JSON),
        ("{}", JSON),
        ("", "text/csv"),
        ('{"inputs": {"n": [1], "past": [[1], [2, 3]]}}', JSON),
    ],
)
def test_what_mlflow_cannot_read_is_status_400(servers: dict[str, Any], body: str, kind: str) -> None:
    assert ask(servers["series"], body, kind)[0] == 400


def test_a_fault_of_the_models_own_is_status_500_without_a_trace(
    servers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CharRnn, "sample", None)  # the packaged code is another: this changes nothing
    assert ask(servers["text"], records({"n": 1}))[0] == 200
    monkeypatch.setattr(torch, "manual_seed", None)
    status, message = ask(servers["text"], records({"n": 1}))
    assert (status, message) == (500, "the model failed: TypeError")
