"""Settings of the device binding that cannot work, or hardly."""

from typing import Any

import pytest

from pgsession import (
    MemoryStore,
    SessionMiddleware,
    SessionSettings,
    SettingsError,
)
from tests.applications import SECRET
from tests.dbsc.site import PERIOD, application


@pytest.mark.parametrize(
    "wrong",
    [
        {"domain": "example.com"},
        {"partitioned": True},
        {"same_site": "none"},
        {"https_only": False},
        {"device_binding": 0},
        {"device_binding": -1},
        {"device_binding": 4.9},
        {"device_binding_path": "/.session"},
        {"device_binding_path": "a b"},
        {"device_binding_path": "a/"},
        {"device_binding_path": "."},
        {"device_binding_path": ".."},
        {"device_binding_path": "a/../b"},
        {"device_binding_path": "a//b"},
        {"device_binding_path": ""},
        {"device_binding": None, "require_device_binding": bool},
        {"require_device_binding": True},
    ],
    ids=str,
)
def test_wrong_settings(wrong: dict[str, Any]) -> None:
    """What cannot work is refused at once."""
    with pytest.raises(SettingsError, match=next(iter(wrong)) if len(wrong) == 1 else "needs"):
        SessionSettings(**{"secret_key": SECRET, "device_binding": PERIOD, **wrong})


def test_brief(caplog: pytest.LogCaptureFixture) -> None:
    """A period under two minutes is one warning."""
    settings = SessionSettings(secret_key=SECRET, device_binding=60)
    SessionMiddleware(application, MemoryStore(), settings=settings)

    assert caplog.text.count("device_binding is shorter than two minutes") == 1
