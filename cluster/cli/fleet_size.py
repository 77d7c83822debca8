"""`--workers 8`, a fixed number of processes, or `--workers 2:8`, as many of them as there is room for."""

import os
import re
from dataclasses import dataclass
from typing import Annotated

import typer

__all__ = ["FleetSize", "FleetSizeOption"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSize:
    """most: processes at most; least: and at least, in an elastic fleet, None for a fixed number."""

    most: int
    least: int | None = None

    @property
    def local_cpus(self) -> int:
        """CPUs of a Ray that is started for this fleet alone; an elastic one takes what the machine has, within its bounds."""
        return self.most if self.least is None else min(self.most, max(self.least, os.cpu_count() or 1))


def _fleet_size(text: str) -> FleetSize:
    found = re.fullmatch(r"(?:(\d+):)?(\d+)", text)
    least, most = (int(found[1]) if found[1] else None, int(found[2])) if found else (None, 0)
    if not 1 <= (most if least is None else least) <= most:
        raise typer.BadParameter(f"{text!r}, needed a number of processes, 1 or more, or MIN:MAX")
    return FleetSize(most=most, least=least)


FleetSizeOption = Annotated[
    FleetSize | None,
    typer.Option(
        "--workers",
        metavar="N|MIN:MAX",
        parser=_fleet_size,
        help="Processes; MIN:MAX follows the nodes that come and go. One a GPU, or a CPU where there is none.",
    ),
]
