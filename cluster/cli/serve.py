"""`serve`: the HTTP endpoint, until Ctrl-C."""

import os
import time
from typing import Annotated

import typer

from cluster.cli.output import StoreOption

__all__ = ["serve"]

_LEAST_CPUS = 2  # a host takes one, the ingress a little of another


def serve(
    store: StoreOption,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every interface.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
) -> int:
    """Answer POST /v1/models/SHARD/predict for every live micro-model of the store, until Ctrl-C.

    Example: micromodels serve --store ./store --port 8000
    """
    from training.store.store import Store

    url = Store.open(store).url

    from cluster.serving import serving
    from cluster.session import ray_session

    with ray_session(num_cpus=max(_LEAST_CPUS, os.cpu_count() or 1)), serving(url, host=host, port=port):
        typer.echo(f"serving {url} on http://{host}:{port}, Ctrl-C to stop", err=True)
        while True:
            time.sleep(3600)
