"""`serve`: the HTTP endpoint, until Ctrl-C."""

import os
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from cluster.cli.output import StoreOption
from training.errors import KeysNeeded

__all__ = ["serve"]

_LEAST_CPUS = 2  # with a host of its own: it takes one, the ingress a little of another
_HOSTS_VARIABLE = "MICROMODELS_HOSTS"
_HAPROXY_VARIABLE = "RAY_SERVE_ENABLE_HA_PROXY"


def serve(
    store: StoreOption,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every interface.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    keys: Annotated[
        Path | None, typer.Option(envvar="MICROMODELS_KEYS_FILE", metavar="FILE", help="API keys; needed outside this machine.")
    ] = None,
) -> int:
    """Answer POST /v1/models/SHARD/predict for every live micro-model of the store, until Ctrl-C.

    Example: micromodels serve --store ./store --port 8000
    """
    if keys is None and not _is_loopback(host):
        raise KeysNeeded(f"--host {host}: needed --keys FILE, since whoever reaches the port is answered; docs/security.md")
    if keys is None and os.environ.get(_HAPROXY_VARIABLE) == "1":
        raise KeysNeeded(f"{_HAPROXY_VARIABLE}=1: needed --keys FILE, since behind HAProxy everybody looks local")
    from training.store.store import Store

    url = Store.open(store).url

    from cluster.serving import serving
    from cluster.session import ray_session

    near = {} if _HOSTS_VARIABLE in os.environ else {"hosts": 0}  # one machine: no hop to another process
    served = serving(url, host=host, port=port, keys_file=None if keys is None else str(keys), **near)
    with ray_session(num_cpus=max(_LEAST_CPUS, os.cpu_count() or 1)), served:
        typer.echo(f"serving {url} on http://{host}:{port}, Ctrl-C to stop", err=True)
        while True:
            time.sleep(3600)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
