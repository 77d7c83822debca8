"""The Serve application: `serve run services.app:build store=URL`, or `services.app:app` where no argument can be given."""

from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application

from services.deploying import host_options, ingress_options
from services.gate import BEHIND_HAPROXY
from services.host import Host
from services.ingress import Ingress
from services.keys import KeyFile
from services.settings import Settings
from training.errors import KeysNeeded
from training.store.store import Store

__all__ = ["build"]


def build(args: Settings) -> Application:
    """Ingress in front of hosts, or with a host in itself, over the store that `args` names.

    Raises:
        KeysNeeded: no file of keys is named, and HAProxy is in front.
        StoreUnusable: there is no store of ours there.
        KeysUnusable: a file of keys is named that is not one.
    """
    if BEHIND_HAPROXY and args.keys_file is None:
        raise KeysNeeded("RAY_SERVE_ENABLE_HA_PROXY=1: needed keys_file, since behind HAProxy everybody looks local")
    url = args.store if "://" in args.store else str(Path(args.store).resolve())
    settings = args.model_copy(update={"store": Store.open(url).url, "keys_file": _checked(args.keys_file)})
    host = serve.deployment(name="Host", **host_options(settings))(Host).bind(settings) if settings.hosts else None
    ingress = serve.deployment(name="Ingress", **ingress_options(settings))(serve.ingress()(Ingress))
    app: Application = ingress.bind(settings, host)
    return app


def _checked(keys_file: str | None) -> str | None:
    """The absolute path of a file of keys, since a replica starts in a directory of its own."""
    if keys_file is None:
        return None
    path = Path(keys_file).resolve()
    KeyFile(path)
    return str(path)


def __getattr__(name: str) -> Any:
    """`app`: built from MICROMODELS_* variables alone; `serve build` takes an application, never a function."""
    if name == "app":
        return build(Settings.model_validate({}))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
