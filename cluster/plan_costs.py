"""What things took on some hardware: the record that a plan is made from, and the file it can come from."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from training.errors import BadInput

__all__ = ["Costs", "read_costs", "spread"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """One value for each shard that was measured, not only their mean; and what a job takes once.

    fit_s, refit_s: seconds of a worker for a fit from the backbone, and for one that goes on from an earlier micro-model.
    frame_s: seconds of a worker to label a frame: decoding and the model.
    frames: frames of a shard. model_bytes: of a generation. frame_bytes: of the labels of a frame.
    labels_s, review_s: seconds of a person on a shard: the first labels, and each later round.
    fit_startup_s, label_startup_s: of a job: from the call to the first lease, and from the last receipt to the end.
    fit_overhead_s, label_overhead_s: of a shard, of a clip: what its own seconds do not have.
    device, threads: of a worker: 'cpu' or the name of a GPU, and its threads.
    sources: field -> where its values come from; what is not in there is assumed.
    Raises:
        BadInput: a value that is not a finite number of 0 or more, or not a whole one where it must be; names the field.
    """

    fit_s: tuple[float, ...] = ()
    refit_s: tuple[float, ...] = ()
    frame_s: tuple[float, ...] = ()
    frames: tuple[int, ...] = ()
    model_bytes: tuple[float, ...] = ()
    frame_bytes: tuple[float, ...] = ()
    labels_s: tuple[float, ...] = ()
    review_s: tuple[float, ...] = ()
    fit_startup_s: float = 15.0
    label_startup_s: float = 10.0
    fit_overhead_s: float = 0.05
    label_overhead_s: float = 0.05
    device: str = "cpu"
    threads: int = 1
    sources: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.measures():
            value = getattr(self, name)
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, bool) or not isinstance(one, int | float) or not 0 <= one < float("inf"):
                    raise BadInput(f"costs: {name} has {one!r}, needed finite numbers of 0 or more")
        if not all(isinstance(count, int) for count in (*self.frames, self.threads)):
            raise BadInput(f"costs: frames {self.frames} and threads {self.threads}, needed whole numbers")

    @classmethod
    def measures(cls) -> list[str]:
        """Names of all fields that are numbers."""
        return [one.name for one in fields(cls) if one.name not in ("device", "sources")]

    def instead(self, source: str, **values: Any) -> "Costs":
        """The same with other values, which come from `source`."""
        return replace(self, **values, sources={**self.sources, **dict.fromkeys(values, source)})

    def to_json(self) -> dict[str, Any]:
        """What `read_costs` reads."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def spreads(self) -> list[dict[str, Any]]:
        """One row for each number: how many there are, their median and 90th percentile, and where they come from."""
        rows = []
        for name in self.measures():
            value = getattr(self, name)
            rows.append({"cost": name, **spread(value if isinstance(value, tuple) else (value,)), "from": self.source(name)})
        return rows

    def source(self, name: str) -> str:
        return self.sources.get(name, "assumed" if getattr(self, name) != () else "unknown")


def read_costs(path: Path, costs: Costs) -> Costs:
    """`costs` with what the file says in the place of what it names.

    Raises:
        BadInput: no such file, not JSON, an unknown field, or a value that is not a number where one is needed.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {error}, needed a JSON file of costs") from error
    known = {*Costs.measures(), "device", "sources"}
    if not isinstance(document, dict) or (unknown := sorted(set(document) - known)):
        found = f"unknown {unknown[0]!r}" if isinstance(document, dict) else f"a JSON {type(document).__name__}"
        raise BadInput(f"{path}: {found}, needed an object with some of {', '.join(sorted(known))}")
    said = {name: value for name, value in document.items() if name != "sources"}
    for name, value in said.items():
        if isinstance(getattr(costs, name), tuple) != isinstance(value, list) or (name == "device") != isinstance(value, str):
            raise BadInput(f"{path}: {name} is {value!r}, needed what `plan --json` writes under costs: a list or one value")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
    return costs.instead(str(path), **values)


def spread(values: Sequence[float]) -> dict[str, Any]:
    """How many, their median and their 90th percentile; None where there are none."""
    if not values:
        return {"count": 0, "median": None, "p90": None}
    median, p90 = (float(value) for value in np.quantile(values, [0.5, 0.9]))
    return {"count": len(values), "median": median, "p90": p90}
