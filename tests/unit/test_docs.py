"""What a user can type or set is in docs/."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from fastapi.routing import APIRoute

from cluster.cli.main import app
from services.api import create_api
from services.measures import MEASURES
from services.settings import Settings
from training.learning.recipes import RECIPES, Recipe

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
COMMANDS: dict[str, Any] = cast(Any, typer.main.get_command(app)).commands


def _page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def _section(page: str, heading: str) -> str:
    """The text under a heading of the second level."""
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert heading in sections, f"no section {heading!r}"
    return sections[heading]


def _options(verb: str) -> set[str]:
    return {option for parameter in COMMANDS[verb].params for option in parameter.opts if option.startswith("--")} - {"--help"}


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_every_option_of_a_verb_is_in_its_section(verb: str) -> None:
    written = set(re.findall(r"`(--[a-z-]+)", _section(_page("cli.md"), f"`{verb}`")))
    assert written == _options(verb)


def test_every_section_of_a_verb_is_about_one_that_exists() -> None:
    assert set(re.findall(r"^## `([a-z-]+)`$", _page("cli.md"), flags=re.MULTILINE)) == set(COMMANDS)


def test_every_route_is_in_the_table_and_no_other() -> None:
    unused = cast(Any, None)  # routes exist before anything is asked of the catalogue or the hosts
    routes = [route for route in create_api(unused, unused, cast(Any, None)).routes if isinstance(route, APIRoute)]
    served = {f"{method} {route.path}" for route in routes for method in route.methods}
    assert set(re.findall(r"^\| `((?:GET|POST|PUT|DELETE) [^`]+)`", _page("http.md"), flags=re.MULTILINE)) == served
    parameters = {parameter.alias for route in routes for parameter in route.dependant.query_params}
    assert parameters
    assert not {name for name in parameters if f"`{name}`" not in _page("http.md")}


def test_every_setting_is_in_the_table_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+)` \|([^|]*)\|", _page("settings.md"), flags=re.MULTILINE))
    assert rows.keys() == Settings.model_fields.keys()
    for name, field in Settings.model_fields.items():
        assert _value(rows[name]) == (None if field.is_required() else field.default), name


def test_every_metric_is_in_the_table_with_its_tags() -> None:
    first_cells = re.findall(r"^\| (`ray_micromodels_[^|]+) \|", _page("operations.md"), flags=re.MULTILINE)
    written = {
        name: set(tags.split(", ")) - {""} for name, tags in re.findall(r"`ray_(\w+)(?:\{(.+?)\})?`", " ".join(first_cells))
    }
    suffix = {"counter": "_total", "gauge": "", "histogram": ""}
    assert written == {f"{name}{suffix[one.kind]}": set(one.tags) for name, one in MEASURES.items()}


def test_every_recipe_and_every_field_of_one_is_named() -> None:
    page = _page("recipes.md")
    assert set(re.findall(r"^\| `([a-z_]+)` \| [A-Z]", page, flags=re.MULTILINE)) == set(RECIPES)
    assert not {field.name for field in fields(Recipe) if f"`{field.name}`" not in page}


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*DOCS.glob("*.md"), ROOT / "README.md"]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_in_the_index() -> None:
    index = _page("index.md")
    assert not {page.name for page in DOCS.glob("*.md") if page.name != "index.md" and f"({page.name})" not in index}


def _value(text: str) -> float | str | None:
    """'16 MiB', '40,000,000', a word in backticks, or nothing."""
    if not text.strip():
        return None
    if text.strip().startswith("`"):
        return text.strip().strip("`")
    number, _, unit = text.strip().replace(",", "").partition(" ")
    return float(number) * {"": 1, "MiB": 2**20}[unit]
