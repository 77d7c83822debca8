"""The inner ring of tests runs without Ray: starting it here is a mistake, and says so."""

from typing import Any, NoReturn

import pytest
import ray


def _refuse(*_: Any, **__: Any) -> NoReturn:
    pytest.fail("a unit test started Ray; such a test belongs in tests/cluster or tests/serve")


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "init", _refuse)
