"""The HTTP service for as long as a block lasts: `services.app:build`, found by its import string as `serve run` does."""

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_type_hints

__all__ = ["APPLICATION", "serving"]

APPLICATION = "services.app:build"
_NAME = "micromodels"


@contextmanager
def serving(store_url: str, *, host: str, port: int, **settings: Any) -> Iterator[None]:
    """Answer on http://host:port for every micro-model of the store inside the block. Needs a running Ray.

    settings: more arguments of the application; docs/settings.md has them. Without `keys_file` only this machine is answered,
    and behind HAProxy nobody.
    """
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(http_options={"host": host, "port": port})
    try:
        serve.run(_application({"store": store_url, **settings}), name=_NAME)
        yield
    finally:
        serve.delete(_NAME)


def _application(settings: dict[str, Any]) -> Any:
    """The application, its arguments checked against their type."""
    module, _, name = APPLICATION.partition(":")
    build = getattr(importlib.import_module(module), name)
    (kind,) = (hint for argument, hint in get_type_hints(build).items() if argument != "return")
    return build(kind.model_validate(settings))
