"""How the process's own log lines look: text, or one JSON object a line (``--log-format json``)."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

TEXT = "%(asctime)s %(levelname)s %(message)s"


class JsonFormatter(logging.Formatter):
    """One object a line: ``time``, ``level``, ``logger``, ``message``, and ``exception`` where there is one."""

    def __init__(self, worker: int | None = None) -> None:
        """With `worker` each line has that too."""
        super().__init__()
        self._more: dict[str, object] = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line: dict[str, object] = {
            "time": at,
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= self._more
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def set_up(form: str = "text", level: str = "info", worker: int | None = None) -> None:
    """Log to standard error, as this worker if it is one; what was set up before stays."""
    handler = logging.StreamHandler(sys.stderr)
    text = TEXT if worker is None else TEXT.replace("%(message)s", f"[w{worker}] %(message)s")
    handler.setFormatter(JsonFormatter(worker) if form == "json" else logging.Formatter(text))
    logging.basicConfig(handlers=[handler], level=level.upper())


def chosen() -> tuple[str, str]:
    """Return the form and the level that were set up, for a process that is to log alike."""
    root = logging.getLogger()
    is_json = any(isinstance(handler.formatter, JsonFormatter) for handler in root.handlers)
    return "json" if is_json else "text", logging.getLevelName(root.level).lower()
