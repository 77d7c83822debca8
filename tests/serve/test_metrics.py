"""What Prometheus reads of the whole application, read where it reads it."""

import re
import time
from collections import Counter
from typing import Any
from urllib.request import urlopen

import httpx
import pytest
import ray

from services.measures import MEASURES

JPEG = {"content-type": "image/jpeg"}
PATIENCE_S = 90.0
_LINE = re.compile(r"ray_(micromodels_\w+?)(_total|_bucket|_sum|_count)?\{(.*)\} (\S+)")
_TAG = re.compile(r'(\w+)="([^"]*)"')


def exported() -> str:
    (node,) = ray.nodes()
    return urlopen(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics").read().decode()


def requests_of(text: str, **tags: str) -> Counter[str]:
    """Of every process: one that died takes its series with it."""
    lines = filter(None, map(_LINE.match, text.splitlines()))
    ours = [(line[3], float(line[4])) for line in lines if line[1] == "micromodels_requests"]
    return Counter({said: int(value) for said, value in ours if tags.items() <= dict(_TAG.findall(said)).items()})


@pytest.mark.slow
def test_no_micro_model_has_a_series_and_every_request_is_counted(client: httpx.Client, world: Any) -> None:
    names = [f"copied-{number:02d}" for number in range(50)]
    for name in names:
        world.publish_again("gate", shard_id=name)
    route, before = "/v1/models/{shard_id}/predict", requests_of(exported())
    for name in names:
        assert client.post(f"/v1/models/{name}/predict", content=world.picture("gate"), headers=JPEG).status_code == 200
    until = time.monotonic() + PATIENCE_S
    while (requests_of(text := exported(), route=route, task="detection", status="2xx") - before).total() < len(names):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.5)
    assert [name for name in names if name in text] == []
    told = {line[1] for line in map(_LINE.match, text.splitlines()) if line}
    assert told <= set(MEASURES)
    assert {"micromodels_batch_pictures", "micromodels_cache_misses", "micromodels_request_seconds"} <= told
