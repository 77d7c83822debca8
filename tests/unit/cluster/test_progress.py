import io

from cluster.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_away_from_a_terminal_progress_is_plain_lines_with_the_time_left() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress("fit: shards", 4, stream=stream, every_s=5, clock=clock) as progress:
        progress.update(0, note="starting workers")
        clock.now = 2
        progress.update(1)
        clock.now = 30
        progress.update(1, failed=1)
        clock.now = 90
        progress.update(4, failed=1)
    assert stream.getvalue().splitlines() == [
        "fit: shards 0/4, starting workers, 0:00 elapsed",
        "fit: shards 1/4, 1 failed, 0:30 elapsed, about 1:30 left",
        "fit: shards 4/4, 1 failed, 1:30 elapsed",
    ]


def test_the_same_state_is_not_printed_twice() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress("label: clips", 9, stream=stream, every_s=1, clock=clock) as progress:
        for now in range(10):
            clock.now = now
            progress.update(3)
    assert len(stream.getvalue().splitlines()) == 1
