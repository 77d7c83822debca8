"""A project of Label Studio as the store sees it: its controls and the ontologies that they label in."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from services.catalogue import Catalogue
from services.label_studio.binding import Binding, bound
from services.label_studio.config import read_config
from services.label_studio.pictures import Subject, subject_of
from services.label_studio.schemas import TaskIn
from services.remembered import Remembered
from services.settings import Settings

__all__ = ["Project", "Projects"]

MAX_REMEMBERED = 100
PATIENCE = 5  # times as long as anything else a list of all that is live is remembered


@dataclass(frozen=True, slots=True)
class Project:
    """image_keys: of each binding, the key of the tasks' data that has the picture."""

    bindings: tuple[Binding, ...]
    image_keys: tuple[str, ...]

    @property
    def ontologies(self) -> tuple[str, ...]:
        return tuple(sorted({one.ontology.name for one in self.bindings}))

    @property
    def controls(self) -> frozenset[str]:
        """Names of those whose regions some binding takes."""
        return frozenset(name for one in self.bindings for name in one.controls)

    def subjects(self, task: TaskIn) -> list[tuple[Binding, Subject]]:
        """What each binding is about. Raises as subject_of."""
        return [(binding, subject_of(task.data, key)) for binding, key in zip(self.bindings, self.image_keys, strict=True)]


class Projects:
    """Thread-safe; every method may block on the store."""

    def __init__(self, catalogue: Catalogue, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._catalogue, self._settings, self._clock = catalogue, settings, clock

    @cached_property
    def _projects(self) -> Remembered[str, Project]:
        return Remembered(ttl_s=self._settings.live_ttl_s, most=MAX_REMEMBERED, clock=self._clock)

    @cached_property
    def _states(self) -> Remembered[tuple[str, ...], str]:
        return Remembered(ttl_s=PATIENCE * self._settings.live_ttl_s, most=MAX_REMEMBERED, clock=self._clock)

    def of(self, label_config: str) -> Project:
        """Raises BadLabelConfig, StoreUnusable."""
        return self._projects.get(label_config, lambda: self._read(label_config))

    def version(self, project: Project) -> str:
        """What predictions are called: Label Studio asks again for those that are called otherwise."""
        names = project.ontologies
        return f"micro-models {self._states.get(names, lambda: self._catalogue.store.registry.live_state(names))}"

    def _read(self, label_config: str) -> Project:
        config = read_config(label_config)
        bindings = bound(config, self._catalogue.store.ontologies())
        return Project(tuple(bindings), tuple(config.images[one.control.to_name] for one in bindings))
