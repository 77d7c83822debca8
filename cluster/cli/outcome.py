"""What came of a verb that a job runs, left in the store for whoever asked for the job."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training.data.identifiers import check_identifier
from training.errors import MicroModelError, named

if TYPE_CHECKING:
    from training.store.store import Store

__all__ = ["JobOption", "job_outcome"]

JobOption = Annotated[
    str | None,
    typer.Option("--job", metavar="ID", help="Keep the results in the store, as those of this job; the service says it."),
]


@contextmanager
def job_outcome(store: "Store", job_id: str | None) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Gives what is to be called with the whole result; an error of ours is kept too, and raised again.

    Without a job nothing is kept. Nor is anything when the verb is stopped: it may go on later.

    Raises:
        BadShardId: a job id that cannot be part of a path.
    """
    started_at = _now()

    def tell(document: Mapping[str, Any]) -> None:
        if job_id is not None:
            store.jobs.end(job_id, {"started_at": started_at, "ended_at": _now(), "error": None, **document})

    if job_id is not None:
        check_identifier(job_id, "job id")
    try:
        yield tell
    except MicroModelError as error:
        tell({"error": named(error), "shards": [], "failures": []})
        raise


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
