"""What is said of a task of Ray that has no answer."""

from ray.exceptions import RayTaskError, WorkerCrashedError

from cluster.lost import why_lost


def test_a_task_that_raised_says_what_it_raised() -> None:
    error = RayTaskError("gather", "Traceback …\nZeroDivisionError: no\npixels", ZeroDivisionError("no\npixels"))
    assert why_lost(error.as_instanceof_cause()) == "ZeroDivisionError: no pixels"


def test_a_process_that_died_is_named_by_ray() -> None:
    assert why_lost(WorkerCrashedError()).startswith("WorkerCrashedError: The worker died")
