"""Tests of `checks.ticket_keys`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshcache.checks.files import file_notes
from meshcache.checks.ticket_keys import ticket_key_notes
from tests.nodes import settings

SHORT = {"group": "g", "rotate_s": 60, "lifetime_s": 240}
LONG = {"group": "g", "rotate_s": 21600, "lifetime_s": 86400}


def notes(folder: Path, pay: dict[str, Any], **of_vip: Any) -> list[str]:
    shop = {"name": "shop", "resumption": "tickets", "sharing": LONG}
    made = settings(folder, vip=[shop, {"name": "pay", "resumption": "tickets", **of_vip, "sharing": pay}])
    found = ticket_key_notes(made)
    assert set(found) <= set(file_notes(made))
    return found


def test_vips_that_share_keys_for_which_there_is_no_room_together_are_named(tmp_path: Path) -> None:
    (note,) = notes(tmp_path, SHORT)
    assert note.startswith("vip[1].sharing.rotate_s: VIPs pay and shop have the same ticket keys")
    assert "(60 s) and the longer lifetime_s (86400 s)" in note


@pytest.mark.parametrize(
    ("pay", "of_vip"),
    [
        (LONG, {}),
        (SHORT | {"rotate_s": 3600}, {}),
        (SHORT | {"group": "other"}, {}),
        (SHORT | {"reach": "server"}, {}),
        (SHORT, {"resumption": "sessions"}),
    ],
)
def test_nothing_is_said_where_there_is_room_or_where_keys_arent_shared(
    tmp_path: Path, pay: dict[str, Any], of_vip: dict[str, Any]
) -> None:
    assert notes(tmp_path, pay, **of_vip) == []
