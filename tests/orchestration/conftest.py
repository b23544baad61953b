"""One copy of the sources for all tests of edits: parsing them takes seconds."""

from __future__ import annotations

import pytest
from plan_edits import Copy, make_copy


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return make_copy(tmp_path_factory.mktemp("copy"))
