"""How a verb gets its Ray: one that does not start is told in one line, and signals stay the verb's."""

import signal
from typing import Any

import pytest
import ray

from cluster.session import ray_session
from training.errors import HostUnavailable


def test_a_ray_that_does_not_start_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: Any) -> None:
        raise Exception("The current node timed out\nduring startup.")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with (
        pytest.raises(HostUnavailable, match=r"^Ray \(local\): The current node timed out during startup\.; needed [^\n]*$"),
        ray_session(),
    ):
        pytest.fail("never reached")


def test_sigterm_is_the_callers_while_ray_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: Any) -> None:
        signal.signal(signal.SIGTERM, lambda signum, frame: pytest.fail("Ray's own handler"))

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    before = signal.getsignal(signal.SIGTERM)
    with ray_session():
        assert signal.getsignal(signal.SIGTERM) == before
