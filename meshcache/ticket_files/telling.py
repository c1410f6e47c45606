"""Makes a server take new ticket keys: runs the operator's command, or speaks HAProxy's runtime API.

Waits for it, within a limit; decides nothing about when, or what comes after a failure.
"""

from __future__ import annotations

import base64
import os
import signal
import socket
import struct
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
            # What it says isn't read to the end: a daemon that it left in another session may hold the pipe for ever.
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
            uid = _who_listens(link)
            if not may_have_keys(uid, runtime):
                raise TellingError(
                    f"user {uid} listens at {runtime}, and may be anybody: keys go to root, to the user that runs, "
                    "and to the owner of a folder that others can't write to"
                )
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


def _who_listens(link: socket.socket) -> int:
    """Return the user who listened at a socket when it was made; this one where the system doesn't tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return os.geteuid()
    _, uid, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)


def may_have_keys(uid: int, runtime: Path) -> bool:
    """Return whether a user who listens at a socket is the one that an operator means by it: while HAProxy is down,
    whoever can write to its folder could listen there.
    """
    if uid in (0, os.geteuid()):
        return True
    folder = Path(os.path.realpath(runtime)).parent
    above = [each.lstat() for each in folder.parents]
    own = folder.lstat()
    closed = all(each.st_uid in (0, os.geteuid()) and not each.st_mode & 0o022 for each in above)
    return closed and own.st_uid == uid and not own.st_mode & 0o022


def _in_words(answer: bytes, command: str) -> str:
    """Return what it said as one line; an answer that repeats the command would repeat the key."""
    text = " ".join(answer.decode(errors="replace").split())[:_SAID_CHARS_MAX]
    return "it repeats what it was sent" if command.rpartition(" ")[2][:16] in text else text


def _last_line(said: bytes) -> str:
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    text = "".join(c if c.isprintable() else "?" for c in lines[-1]) if lines else ""
    return f": {text[:_SAID_CHARS_MAX]}" if text else ""
