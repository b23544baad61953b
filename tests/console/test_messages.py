"""Log messages of a stage or command: a line each under its label, as loud as is wished."""

from __future__ import annotations

import logging

import pytest

from genfoundry.console import messages


@pytest.fixture(autouse=True)
def unconfigured() -> object:
    yield None
    for name in messages.LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers, logger.level = [], logging.NOTSET


@pytest.mark.parametrize(("level", "lines"), [("", 4), ("WARNING", 3), ("DEBUG", 5), ("nonsense", 4)])
def test_every_line_has_the_label(
    level: str, lines: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(messages.LEVEL, level)
    messages.configure("train@x")
    messages.configure("train@x")  # a second time prints nothing twice
    logging.getLogger("genfoundry.data").warning("a\nb")
    logging.getLogger("pipeline.stages").error("c")
    logging.getLogger("pipeline.stages").info("d")
    logging.getLogger("pipeline.stages").debug("e")
    logging.getLogger("matplotlib").info("nothing of other packages")
    said = capsys.readouterr().err.splitlines()
    assert said == [f"genfoundry train@x: {letter}" for letter in "abcde"[:lines]]
