"""`meshcache init`: a folder to start from, good for a server on each of two terminals. Never overwrites a file."""

from __future__ import annotations

import os
import shlex
from contextlib import ExitStack
from pathlib import Path

import click

from meshcache.cli.starter import (
    CERTIFICATE,
    CONFIGURATION,
    FILE,
    KEY_FILE,
    PRIVATE_KEY,
    SECOND_NODE,
    certificate_and_key,
)


@click.command()
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False), default=".")
def init(folder: Path) -> None:
    """Write meshcache.toml, a mesh key and a test certificate into DIR (this folder), and say what to try.

    Nothing is written when one of the files is there already.
    """
    present = [name for name in (FILE, KEY_FILE, CERTIFICATE, PRIVATE_KEY) if (folder / name).exists()]
    if present:
        raise click.ClickException(f"{', '.join(present)} in {folder} would be overwritten; nothing was written")
    try:
        _write_all(folder)
    except OSError as error:
        raise click.ClickException(f"{error.filename or folder}: {(error.strerror or str(error)).lower()}") from None
    click.echo(_next_steps(folder))


def _write_all(folder: Path) -> None:
    """Write all four files, or none."""
    from meshcache.edges.keyfile import create_keyring
    from meshcache.edges.keyring import Keyring

    certificate, private_key = certificate_and_key()
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as undo:
        for name, content, mode in (
            (CERTIFICATE, certificate, 0o644),
            (PRIVATE_KEY, private_key, 0o600),
            (FILE, CONFIGURATION.encode(), 0o644),
        ):
            _write(folder / name, content, mode)
            undo.callback((folder / name).unlink)
        create_keyring(folder / KEY_FILE, Keyring.new())
        undo.pop_all()


def _write(path: Path, content: bytes, mode: int) -> None:
    """Never through a link, never over a file, and never wider than `mode`, not even for a moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _next_steps(folder: Path) -> str:
    enter = "" if folder == Path() else f"  cd {shlex.quote(str(folder))}\n"
    sets = " ".join(f"--set {override}" for override in SECOND_NODE)
    return f"""\
{folder / FILE} is written, with {KEY_FILE}, {CERTIFICATE} and {PRIVATE_KEY} beside it.

Two servers, each in a terminal of its own in that folder:
{enter}
  meshcache serve
  meshcache serve {sets}

A session made by the first and used at the second; their answers say "full", then "remote":

  {_client(8443, "-sess_out session.pem")}
  {_client(8444, "-sess_in session.pem")}

What the two have counted:

  meshcache stats
  meshcache stats --socket state/edge-2/admin.sock"""


def _client(port: int, session: str) -> str:
    return (
        "printf 'GET / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' |\n"
        f"    openssl s_client -quiet -connect 127.0.0.1:{port} -servername localhost {session} 2>/dev/null"
    )
