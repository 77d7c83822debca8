"""Settings as options of Serve's deployments; Serve itself would ignore what it does not know."""

from typing import Any

import pytest
from ray import serve

from services.deploying import host_options, ingress_options
from services.settings import Settings


class Something:
    """To be deployed."""


def deployed(options: dict[str, Any]) -> Any:
    """What Serve makes of them."""
    return serve.deployment(name="Something", **options)(Something)._deployment_config


def test_without_a_most_there_are_as_many_hosts_as_set() -> None:
    config = deployed(host_options(Settings(store="x", hosts=3)))
    assert (config.num_replicas, config.autoscaling_config) == (3, None)


def test_with_a_most_hosts_follow_the_queue_from_a_full_batch_each() -> None:
    settings = Settings(store="x", hosts=2, max_hosts=8, batch_requests=5, scale_up_after_s=3, scale_down_after_s=70)
    scaling = deployed(host_options(settings)).autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (2, 8, 5)
    assert (scaling.upscale_delay_s, scaling.downscale_delay_s) == (3, 70)


def test_who_leaves_may_finish_and_an_ingress_is_replaced_before_it_goes() -> None:
    settings = Settings(store="x", drain_timeout_s=90, surge_percent=50)
    host, ingress = deployed(host_options(settings)), deployed(ingress_options(settings))
    assert (host.graceful_shutdown_timeout_s, ingress.graceful_shutdown_timeout_s) == (90, 90)
    assert (host.max_surge_percent, ingress.max_surge_percent) == (50, 100)


def test_an_ingress_that_computes_itself_reserves_what_a_host_would_and_comes_first_only_if_told() -> None:
    settings = Settings(store="x", hosts=0, threads_per_host=3, gpus_per_host=0.5, surge_percent=20)
    ingress = deployed(ingress_options(settings))
    assert ingress.max_surge_percent == 20
    assert ingress_options(settings)["ray_actor_options"] == {"num_cpus": 3, "num_gpus": 0.5}


@pytest.mark.parametrize("hosts", [3, 0])
def test_fewer_hosts_at_most_than_at_least_and_none_to_scale_are_refused(hosts: int) -> None:
    with pytest.raises(ValueError, match=f"max_hosts 2, needed at least hosts, {hosts}"):
        Settings(store="x", hosts=hosts, max_hosts=2)
