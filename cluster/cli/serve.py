"""`serve`: the HTTP endpoint, until Ctrl-C."""

import importlib
import time
from typing import Annotated, Any, get_type_hints

import typer

from cluster.cli.output import StoreOption

__all__ = ["serve"]

APPLICATION = "services.app:build"


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
    from ray import serve as ray_serve

    from cluster.session import ray_session

    with ray_session():
        ray_serve.start(http_options={"host": host, "port": port})
        ray_serve.run(_application({"store": url}), name="micromodels")
        typer.echo(f"serving {url} on http://{host}:{port}, Ctrl-C to stop", err=True)
        try:
            while True:
                time.sleep(3600)
        finally:
            ray_serve.delete("micromodels")


def _application(settings: dict[str, str]) -> Any:
    """Build the application as `serve run` does: by its import string, its arguments checked against their type."""
    module, _, name = APPLICATION.partition(":")
    build = getattr(importlib.import_module(module), name)
    (kind,) = (hint for argument, hint in get_type_hints(build).items() if argument != "return")
    return build(kind.model_validate(settings))
