"""Actors that hold what a whole job shares, such as who does what."""

from typing import Any

import ray

__all__ = ["start_keeper"]


def start_keeper(kind: type, *args: Any, **options: Any) -> Any:
    """An actor of the plain class `kind`, called with the arguments; a call to it waits while its process is started again.

    It lives on the node of its caller: the job ends with that node anyway, and no other one can take it along. After its
    process died it begins anew with the same arguments: what must survive is in the store.
    """
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    actor: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, label_selector=here)(kind)
    return actor.remote(*args, **options)
