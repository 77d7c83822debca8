import threading

import pytest

from training.store.ahead import ahead


def test_answers_come_in_the_order_asked_and_are_asked_for_together() -> None:
    together = threading.Barrier(4, timeout=60)

    def ask(number: int) -> int:
        together.wait()
        return number * number

    assert list(ahead(ask, range(4))) == [0, 1, 4, 9]


def test_no_more_is_asked_than_a_few_ahead_of_who_takes() -> None:
    asked: list[int] = []
    answers = ahead(asked.append, range(1000))
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert len(asked) < 100


def test_what_one_raises_is_raised_in_its_turn() -> None:
    def ask(number: int) -> float:
        return 1 / (2 - number)

    answers = ahead(ask, range(4))
    assert [next(answers), next(answers)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(answers)
