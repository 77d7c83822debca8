"""The Serve application: `serve run services.app:build store=URL`, or `services.app:app` where no argument can be given."""

from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import BackpressureConfig

from services.host import Host
from services.ingress import Ingress
from services.keys import KeyFile
from services.problems import RETRY_AFTER_S
from services.settings import Settings
from training.store.store import Store

__all__ = ["build"]


def build(args: Settings) -> Application:
    """Ingress in front of hosts, or with a host in itself, over the store that `args` names.

    Raises:
        StoreUnusable: there is no store of ours there.
        KeysUnusable: a file of keys is named that is not one.
    """
    url = args.store if "://" in args.store else str(Path(args.store).resolve())
    settings = args.model_copy(update={"store": Store.open(url).url, "keys_file": _checked(args.keys_file)})
    app: Application = _ingress(settings).bind(settings, _host(settings).bind(settings) if settings.hosts else None)
    return app


def _host(settings: Settings) -> serve.Deployment:
    deployment: serve.Deployment = serve.deployment(
        name="Host",
        num_replicas=settings.hosts,
        ray_actor_options=_computing(settings),
        max_ongoing_requests=2 * settings.batch_requests,
        max_queued_requests=settings.queued_per_ingress,
    )(Host)
    return deployment


def _ingress(settings: Settings) -> serve.Deployment:
    deployment: serve.Deployment = serve.deployment(
        name="Ingress",
        num_replicas=settings.ingresses,
        ray_actor_options={"num_cpus": settings.cpus_per_ingress} if settings.hosts else _computing(settings),
        max_ongoing_requests=settings.ongoing_per_ingress,
        max_queued_requests=settings.queued_per_ingress,
        backpressure_config=BackpressureConfig(status_code=503, retry_after_s=RETRY_AFTER_S),
    )(serve.ingress()(Ingress))
    return deployment


def _computing(settings: Settings) -> dict[str, Any]:
    """What a replica that computes reserves."""
    return {"num_cpus": settings.threads_per_host, "num_gpus": settings.gpus_per_host}


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
