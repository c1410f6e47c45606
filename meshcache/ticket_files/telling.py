"""Makes a server take new ticket keys: runs the operator's command, or speaks HAProxy's runtime API.

Waits for it, within a limit; decides nothing about when, or what comes after a failure.
"""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from meshcache.config import ExportSettings
from meshcache.errors import MeshcacheError
from meshcache.ticket_files.layouts import Rendered

COMMAND_S: Final = 30.0
"""How long a command may take: a reload is a signal, or a check of a configuration of some thousand lines."""

HAPROXY_S: Final = 5.0
"""How long HAProxy's socket may take for an answer: it answers from its event loop."""

_SAID_CHARS_MAX: Final = 300
_ANSWER_BYTES_MAX: Final = 4096
_UPDATED: Final = b"TLS ticket key updated!"


class TellingError(MeshcacheError):
    """The server wasn't reached, or didn't want the keys; why, in words that hold no key."""


def tell(export: ExportSettings, path: Path, rendered: Rendered) -> None:
    """Make the server take what was written. Raises TellingError."""
    if export.haproxy_socket is not None:
        tell_haproxy(export.haproxy_socket, path, rendered)
    elif export.command:
        run(export.command, {"MESHCACHE_VIP": export.vip, "MESHCACHE_PATH": str(path)})


def run(command: Sequence[str], about: dict[str, str] | None = None, within_s: float = COMMAND_S) -> None:
    """Run a command, without a shell and in a session of its own. Raises TellingError unless it ends with 0 in time."""
    shown = " ".join(command)
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's own words, of a file that only they can write
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(about or {})},
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TellingError(f"{shown}: can't be run: {why.lower()}") from None
    with process:
        try:
            said, _ = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise TellingError(f"{shown}: didn't end within {within_s:g} s, and was killed") from None
    if process.returncode:
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"exit status {process.returncode}"
        raise TellingError(f"{shown}: {how}{_last_line(said)}")


def tell_haproxy(runtime: Path, file: Path, rendered: Rendered) -> None:
    """Give HAProxy the keys in the order of its file, which leaves it with these and no others.

    Each ``set ssl tls-key`` drops the oldest key and appends one; the last but one encrypts. Raises TellingError.
    """
    commands = [f"set ssl tls-key {file} {base64.b64encode(key.name_aes_mac).decode()}" for key in rendered.keys]
    until = time.monotonic() + HAPROXY_S
    for command in commands:
        answer = _ask(runtime, command.encode() + b"\n", until)
        if not answer.startswith(_UPDATED):
            raise TellingError(f"HAProxy at {runtime}: {_in_words(answer, command) or 'no answer'}")


def _ask(runtime: Path, command: bytes, until: float) -> bytes:
    """One command for each connection, as HAProxy has it without ``prompt``."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as link:
            link.settimeout(max(until - time.monotonic(), 0.01))
            link.connect(str(runtime))
            link.sendall(command)
            answer = b""
            while len(answer) < _ANSWER_BYTES_MAX and (more := link.recv(_ANSWER_BYTES_MAX)):
                answer += more
            return answer
    except FileNotFoundError:
        raise TellingError(f"HAProxy at {runtime}: there is no such socket; does it run?") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TellingError(f"HAProxy at {runtime}: {why.lower()}") from None


def _in_words(answer: bytes, command: str) -> str:
    """Return what it said as one line; an answer that repeats the command would repeat the key."""
    text = " ".join(answer.decode(errors="replace").split())[:_SAID_CHARS_MAX]
    return "it repeats what it was sent" if command.rpartition(" ")[2][:16] in text else text


def _last_line(said: bytes) -> str:
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    text = "".join(c if c.isprintable() else "?" for c in lines[-1]) if lines else ""
    return f": {text[:_SAID_CHARS_MAX]}" if text else ""
