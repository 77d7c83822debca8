"""The Serve application: `serve run services.app:build store=URL`, or `services.app:app` where no argument can be given."""

from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application

from services.host import Host
from services.ingress import Ingress
from services.settings import Settings
from training.store.store import Store

__all__ = ["build"]


def build(args: Settings) -> Application:
    """Ingress in front of hosts, over the store that `args` names.

    Raises:
        StoreUnusable: there is no store of ours there.
    """
    url = args.store if "://" in args.store else str(Path(args.store).resolve())
    settings = args.model_copy(update={"store": Store.open(url).url})
    host = serve.deployment(
        name="Host",
        num_replicas=settings.hosts,
        ray_actor_options={"num_cpus": settings.threads_per_host},
        max_ongoing_requests=2 * settings.batch_requests,
        max_queued_requests=settings.queued_per_ingress,
    )(Host)
    ingress = serve.deployment(
        name="Ingress",
        num_replicas=settings.ingresses,
        ray_actor_options={"num_cpus": settings.cpus_per_ingress},
        max_ongoing_requests=settings.ongoing_per_ingress,
    )(serve.ingress()(Ingress))
    app: Application = ingress.bind(settings, host.bind(settings))
    return app


def __getattr__(name: str) -> Any:
    """`app`: built from MICROMODELS_* variables alone; `serve build` takes an application, never a function."""
    if name == "app":
        return build(Settings.model_validate({}))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
