"""The Ray that a verb runs on: the cluster it was sent to, or one of its own for as long as it lasts."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import ray

from cluster.working_directory import kept_here
from training.errors import HostUnavailable

__all__ = ["DEFAULTS", "ray_session"]

_LOCAL_OBJECT_STORE_BYTES = 512 * 1024**2  # labels, models, receipts; of frames only tune's labelled ones
DEFAULTS = {
    "MALLOC_ARENA_MAX": "2",  # by default the C library keeps apart what each of many short-lived threads has freed
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths keep their meaning in the workers
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "services.front:middlewares",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",  # who asks a replica: one thread less that a request passes through
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",  # how: a tenth to a fifth less processor time than through calls of actors
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "30",  # then the nodes are counted anew: one may have died
    "RAY_USAGE_STATS_ENABLED": "0",
}


@contextmanager
def ray_session(num_cpus: int | None = None) -> Iterator[None]:
    """Have Ray initialised inside the block.

    Uses the Ray this process is connected to already; else joins the cluster of RAY_ADDRESS (a submitted job has it
    set); else starts a local one. What was started or joined here is left again at the end, and nothing else.

    Args:
        num_cpus: size of a local cluster; the machine's CPUs by default. Ignored when a cluster is joined.
    Raises:
        HostUnavailable: Ray does not start, as on a machine that is overloaded, or cannot be reached.
    """
    if ray.is_initialized():
        yield
        return
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    address = os.environ.get("RAY_ADDRESS", "local")
    with nullcontext() if address == "local" else kept_here():
        _initialise(address, num_cpus)
        try:
            yield
        finally:
            ray.shutdown()


def _initialise(address: str, num_cpus: int | None) -> None:
    local: dict[str, Any] = {"num_cpus": num_cpus, "object_store_memory": _LOCAL_OBJECT_STORE_BYTES, "include_dashboard": False}
    try:
        with _sigterm_kept():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **(local if address == "local" else {}))
    except Exception as error:  # Ray raises its time-outs as plain Exception
        reason = " ".join(str(error).split())
        raise HostUnavailable(
            f"Ray ({address}): {reason}; needed a Ray that starts, try again when the machine is less busy"
        ) from error


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Leave SIGTERM to the caller; Ray's own handlers print a stack of C++ and end the process with exit code 15."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
