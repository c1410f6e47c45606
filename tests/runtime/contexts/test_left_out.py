from __future__ import annotations

import logging

import pytest

from meshcache import AttachError
from meshcache.runtime.contexts.left_out import LeftOut


def test_what_is_not_required_is_counted_each_time_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    left = LeftOut()
    for _ in range(3):
        with left.unless(False, "shop"):
            raise AttachError("there is no such VIP")
    with left.unless(False, "shop", "closed"):
        raise KeyError(b"a secret")
    assert left.counts() == {"AttachError": 3, "closed": 1}
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(said) == 2
    assert "no such VIP" in said[0]
    assert "secret" not in said[1]


def test_what_is_required_is_raised_and_not_counted() -> None:
    left = LeftOut()
    with pytest.raises(AttachError), left.unless(True, "shop"):
        raise AttachError("no")
    assert left.counts() == {}


def test_the_vip_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    with LeftOut().unless(False, "shop"):
        raise AttachError("VIP shop: no")
    assert caplog.text.count("VIP shop") == 1
