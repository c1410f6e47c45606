"""Tests of `server.messages`."""

from __future__ import annotations

import json
import logging
import sys

from meshcache_server.messages import JsonFormatter


def test_a_line_is_an_object_with_what_happened() -> None:
    try:
        int("broken\nlines")
    except ValueError:
        record = logging.LogRecord("meshcache.server", logging.ERROR, "", 1, "%d faults", (3,), sys.exc_info())
    line = JsonFormatter().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("ERROR", "meshcache.server", "3 faults")
    assert told["time"].endswith("Z")
    assert told["exception"].startswith("Traceback")
