from http import HTTPStatus

import pytest

from services.problems import STATUS_OF, status_of
from training import errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.UnknownModel, 404),
        (errors.BadPicture, 422),
        (errors.EmptyRequest, 422),
        (errors.TooLarge, 413),
        (errors.UnsupportedMediaType, 415),
        (errors.StoreUnusable, 503),
        (errors.WrongShape, 500),
    ],
)
def test_an_error_gets_the_status_of_its_nearest_named_base(error: type[Exception], status: int) -> None:
    assert status_of(error("x")) == status


def test_an_error_nobody_named_is_500() -> None:
    assert status_of(KeyError("x")) == HTTPStatus.INTERNAL_SERVER_ERROR


def test_every_named_error_has_a_status_and_bad_input_is_never_the_servers_fault() -> None:
    for error in [found for name in errors.__all__ if isinstance(found := getattr(errors, name), type)]:
        assert issubclass(error, tuple(STATUS_OF))
        if issubclass(error, errors.BadInput) and not issubclass(error, errors.StoreUnusable):
            assert 400 <= status_of(error("x")) < 500
