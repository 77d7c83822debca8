import pytest
from pydantic import ValidationError

from services.settings import Settings


def test_arguments_as_text_win_over_variables_and_variables_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROMODELS_STORE", "s3://bucket/a")
    monkeypatch.setenv("MICROMODELS_CACHE_MIB", "7")
    monkeypatch.setenv("MICROMODELS_HOSTS", "3")
    settings = Settings.model_validate({"cache_mib": "9"})  # what `serve run services.app:build cache_mib=9` passes
    assert (settings.store, settings.cache_mib, settings.hosts, settings.live_ttl_s) == ("s3://bucket/a", 9, 3, 2.0)


@pytest.mark.parametrize("wrong", [{"stor": "x"}, {"hosts": "-1"}, {"cache_mib": "much"}, {"store": ""}, {"live_ttl_s": "-1"}])
def test_a_wrong_argument_is_refused_and_named(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Settings.model_validate({"store": "x", **wrong})


def test_fits_by_themselves_need_somebody_to_run_them() -> None:
    with pytest.raises(ValidationError, match="label_studio_refit_after 5, needed a jobs_address"):
        Settings(store="x", label_studio_refit_after=5)
    assert Settings(store="x", label_studio_refit_after=5, jobs_address="http://head:8265").label_studio_refit_after == 5


def test_a_store_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MICROMODELS_STORE", raising=False)
    with pytest.raises(ValidationError, match="store"):
        Settings.model_validate({})
