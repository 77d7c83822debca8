"""Who runs commands as jobs, as far as the routes know it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from training.errors import TooLarge

__all__ = ["ClusterJob", "JobState", "Submitter", "shell_command"]

JobState = Literal["queued", "running", "succeeded", "failed", "stopped"]
MAX_COMMAND_BYTES = 100_000  # Linux takes 128 KiB in one argument, and the command of a job is one argument of a shell


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterJob:
    """What the cluster knows of a job. started_at, ended_at: ISO 8601, UTC."""

    state: JobState
    started_at: str | None = None
    ended_at: str | None = None


class Submitter(Protocol):
    """Every method raises JobsUnavailable."""

    async def submit(self, name: str, command: str) -> None:
        """Start a shell command; nothing is done if there is a job of that name already."""
        ...

    async def find(self, name: str) -> ClusterJob | None: ...

    async def stop(self, name: str) -> None:
        """Ask a job to end; one that is not there, or at its end, is left alone."""
        ...


def shell_command(argv: Sequence[str]) -> str:
    """A command that a shell takes apart into these words and no others. Raises TooLarge."""
    command = shlex.join(argv)
    if len(command.encode()) > MAX_COMMAND_BYTES:
        raise TooLarge(f"a command of {len(command.encode())} bytes, needed at most {MAX_COMMAND_BYTES}: name fewer shards")
    return command
