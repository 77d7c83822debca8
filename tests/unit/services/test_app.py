"""What the application refuses before anything of it starts."""

from pathlib import Path

import pytest

from services import app
from services.settings import Settings
from training.errors import KeysNeeded
from training.store.store import Store


def test_behind_haproxy_it_is_not_built_without_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(store=Store.create(str(tmp_path / "store")).url)
    app.build(settings)
    monkeypatch.setattr(app, "BEHIND_HAPROXY", True)
    with pytest.raises(KeysNeeded, match="RAY_SERVE_ENABLE_HA_PROXY"):
        app.build(settings)
