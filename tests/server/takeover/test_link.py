"""Tests of `server.link`, with both ends in one process."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from meshcache_server.takeover.link import Link, LinkError


def test_a_link_says_what_goes_wrong_and_carries_sockets(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, socket.create_server(("127.0.0.1", 0)) as given:
        path = tmp_path / "s"
        with pytest.raises(LinkError, match="nobody answers"):
            Link.to(path)
        listener.bind(str(path))
        listener.listen()
        one, other = Link.to(path), Link(listener.accept()[0])
        assert one.process_id == other.process_id == os.getpid()
        one.say(given, key="shop")
        one.send_frame(b"frame")
        word, got = other.hear_word()
        assert word == {"key": "shop"}
        assert got is not None
        with got:
            assert got.getsockname() == given.getsockname()
            assert not got.get_inheritable()
        with pytest.raises(LinkError, match="aren't due"):
            other.hear_word()
        one.close()
        with pytest.raises(LinkError, match="is gone"):
            other.hear()
        with suppress(LinkError):
            other.say(late=True)
        other.close()
