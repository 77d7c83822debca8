"""Grafana's dashboard asks for metrics that exist, by tags that they have, and for all that are ours."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray import serve
from ray.util.metrics import Counter, Gauge, Histogram, Metric

from cluster.metrics import FitMetrics, LabelMetrics
from services.measures import MEASURES

FILE = Path(__file__).resolve().parents[3] / "k8s" / "grafana" / "micromodels.json"
SUFFIXES = {"counter": "_total", "histogram": "_bucket", "gauge": ""}
KINDS: dict[type[Metric], str] = {Counter: "counter", Histogram: "histogram", Gauge: "gauge"}
WORDS = {"by", "le", "sum", "max", "rate", "increase", "histogram_quantile", "__rate_interval", "h"}
OF_SERVE = {"deployment"}


def dashboard() -> Any:
    return json.loads(FILE.read_text(encoding="utf-8"))


def queries() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())]


def ours() -> Iterator[tuple[str, set[str]]]:
    """Metrics of the service and of the fleet as Prometheus has them, and their tags."""
    for name, one in MEASURES.items():
        yield f"ray_{name}{SUFFIXES[one.kind]}", {*one.tags, *(["le"] if one.kind == "histogram" else [])}
    for metric in [*vars(FitMetrics()).values(), *vars(LabelMetrics(1)).values()]:
        if isinstance(metric, Metric):
            yield f"ray_{metric.info['name']}{SUFFIXES[KINDS[type(metric)]]}", set(metric.info["tag_keys"])


def serves_own() -> set[str]:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(str(serve.__file__)).parent.rglob("*.py"))
    return {f"ray_{name}" for name in re.findall(r'"(serve_\w+)"', source)}


def test_every_metric_that_is_asked_for_exists_and_every_one_of_ours_is_asked_for() -> None:
    asked = {name for query in queries() for name in re.findall(r"ray_\w+", query)}
    known = {name for name, _ in ours()}
    assert {name for name in asked if name.startswith("ray_micromodels_")} == known
    assert {name for name in asked if not name.startswith("ray_micromodels_")} <= serves_own()


def test_metrics_are_asked_for_by_tags_that_they_have() -> None:
    tags_of = dict(ours())
    for query in queries():
        asked = set(re.findall(r"ray_\w+", query))
        tags = {tag for inside in re.findall(r"by \((.+?)\)", query) for tag in inside.split(", ")}
        tags |= set(re.findall(r"(\w+)[=!~]+\"", query))
        for name in asked:
            assert tags <= tags_of.get(name, OF_SERVE), query


@pytest.mark.parametrize("query", queries())
def test_a_query_has_every_bracket_it_opens_and_only_words_that_are_known(query: str) -> None:
    for opening, closing in ("()", "[]", "{}"):
        assert query.count(opening) == query.count(closing)
    words = set(re.findall(r"[A-Za-z_]\w*", re.sub(r'"[^"]*"|ray_\w+|(?<=\[)\d+h', "", query)))
    assert words <= WORDS | {tag for _, tags in ours() for tag in tags} | OF_SERVE


def test_panels_have_places_of_their_own_and_each_says_its_data_source() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not taken & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert all(target["datasource"] == panel["datasource"] for target in panel.get("targets", ()))
