"""How many replicas there are, what each may use, and how they come and go: options of Serve's deployments."""

from typing import Any

from ray.serve.config import AutoscalingConfig, BackpressureConfig

from services.problems import RETRY_AFTER_S
from services.settings import Settings

__all__ = ["host_options", "ingress_options"]

DRAIN_LOOP_S = 0.5  # how often a replica that leaves looks whether it still has requests


def host_options(settings: Settings) -> dict[str, Any]:
    """Of the deployment that computes; it follows the queue where `max_hosts` lets it."""
    return {
        **_number(settings),
        "ray_actor_options": _computing(settings),
        "max_ongoing_requests": 2 * settings.batch_requests,
        "max_queued_requests": settings.queued_per_ingress,
        "max_surge_percent": settings.surge_percent,
        **_drain(settings),
    }


def ingress_options(settings: Settings) -> dict[str, Any]:
    """Of the deployment that faces HTTP. If all it does is wait, a new one is there before an old one goes."""
    return {
        "num_replicas": settings.ingresses,
        "ray_actor_options": {"num_cpus": settings.cpus_per_ingress} if settings.hosts else _computing(settings),
        "max_ongoing_requests": settings.ongoing_per_ingress,
        "max_queued_requests": settings.queued_per_ingress,
        "backpressure_config": BackpressureConfig(status_code=503, retry_after_s=RETRY_AFTER_S),
        "max_surge_percent": 100 if settings.hosts else settings.surge_percent,
        **_drain(settings),
    }


def _number(settings: Settings) -> dict[str, Any]:
    if settings.max_hosts is None:
        return {"num_replicas": settings.hosts}
    scaling = AutoscalingConfig(
        min_replicas=settings.hosts,
        max_replicas=settings.max_hosts,
        target_ongoing_requests=settings.batch_requests,  # one bank pass is full, and the next one waits elsewhere
        upscale_delay_s=settings.scale_up_after_s,
        downscale_delay_s=settings.scale_down_after_s,
    )
    return {"autoscaling_config": scaling}


def _computing(settings: Settings) -> dict[str, Any]:
    """What a replica that computes reserves."""
    return {"num_cpus": settings.threads_per_host, "num_gpus": settings.gpus_per_host}


def _drain(settings: Settings) -> dict[str, Any]:
    return {"graceful_shutdown_wait_loop_s": DRAIN_LOOP_S, "graceful_shutdown_timeout_s": settings.drain_timeout_s}
