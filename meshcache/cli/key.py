"""`meshcache key`: makes the key that nodes of one mesh share, and changes it in three steps on a mesh that runs.

Shows a key only where it is asked for one without a file; else fingerprints, which say nothing about keys. Changes
files only: a running node takes the new file at SIGHUP.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from meshcache.edges.keyring import Keyring

_STDIN = "-"

_AFTER_ADD = """\
1 of 3. No node listens with it yet. Do this on every node before `key promote`:
  meshcache key add {file} FROM      FROM: a copy of this file, over a channel you trust ("-": standard input)
  kill -HUP the server, which then accepts both keys"""

_AFTER_PROMOTE = """\
2 of 3. Nodes with the key before are still let in, and are still reached. Do this on every node before `key retire`:
  meshcache key promote {file} {current}
  kill -HUP the server, which then listens with this key"""

_AFTER_RETIRE = """\
3 of 3. After SIGHUP, whoever has no other key is out. Do the same on every node. One that was away all the time needs
this file before it is let in again."""

_file = click.argument("file", type=click.Path(path_type=Path))
_fingerprint = click.argument("fingerprint", required=False)


@click.group()
def key() -> None:
    """The key that makes a node a member of the mesh.

    A key is changed on a live mesh in three steps, each on all nodes before the next begins: add, promote, retire. No
    session is lost. docs/keys.md has the details.
    """


@key.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
def new(file: Path | None) -> None:
    """Make a fresh mesh key in FILE, with mode 0600; without FILE, print it.

    Copy the file to every node over a channel you trust: whoever has it is a member. A file that is there is left
    alone.
    """
    from meshcache.edges.keyfile import create_keyring
    from meshcache.edges.keyring import Keyring

    keyring = Keyring.new()
    if file is None:
        click.echo(keyring.to_toml(), nl=False)
        return
    create_keyring(file, keyring)
    click.echo(f"{file}: new mesh key {keyring.current.fingerprint}, mode 0600; copy it to every node of the mesh")


@key.command()
@_file
@click.argument("source", metavar="[FROM]", required=False)
def add(file: Path, source: str | None) -> None:
    """Step 1: accept one more key. FILE's current key stays the one that this node listens with.

    Without FROM, on the first node, it is a fresh random key, unless one was added that waits for step 2. On every
    other node FROM is a copy of the first one's file ("-" reads it from standard input): its keys that FILE lacks are
    added. Run twice, it changes nothing.
    """
    from meshcache.edges.keyfile import load_keyring

    before = load_keyring(file)
    if source is None and before.awaiting:
        _nothing_to_do(file, f"{before.awaiting[0].fingerprint} was added already and waits for `key promote`", before)
        return
    after = before.add() if source is None else before.add_from(_read(source))
    if after == before:
        _nothing_to_do(file, f"has every key of {source} already", after)
        return
    _save(file, after, _AFTER_ADD)


@key.command()
@_file
@_fingerprint
def promote(file: Path, fingerprint: str | None) -> None:
    """Step 2: listen with an accepted key from now on; the one before stays accepted.

    Without FINGERPRINT it is the key that was added last, if that was after the current one: run twice, it changes
    nothing. To go back to an older key, name it.
    """
    from meshcache.edges.keyfile import load_keyring

    before = load_keyring(file)
    after = before.promote(fingerprint)
    if after == before:
        _nothing_to_do(file, f"{after.current.fingerprint} is the current key already", after)
        return
    _save(file, after, _AFTER_PROMOTE)


@key.command()
@_file
@_fingerprint
def retire(file: Path, fingerprint: str | None) -> None:
    """Step 3: accept a key no longer; connections that were made with it end. The current key can't be retired.

    Without FINGERPRINT it is the accepted key that was added first, if that was before the current one: run twice, it
    changes nothing, and never retires the key that comes next. To give that one up, name it.
    """
    from meshcache.edges.keyfile import load_keyring

    before = load_keyring(file)
    after = before.retire(fingerprint)
    if after == before:
        older = f"no key {fingerprint}" if fingerprint else "no accepted key that is older than the current one"
        _nothing_to_do(file, f"there is {older}: retired already, or never added", after)
        return
    _save(file, after, _AFTER_RETIRE)


def _read(source: str) -> Keyring:
    from meshcache.edges.keyfile import FILE_BYTES_MAX, load_keyring
    from meshcache.edges.keyring import Keyring
    from meshcache.errors import KeyringError

    if source != _STDIN:
        return load_keyring(Path(source))
    try:
        return Keyring.from_toml(sys.stdin.read(FILE_BYTES_MAX))
    except (KeyringError, UnicodeDecodeError) as error:
        reason = error if isinstance(error, KeyringError) else "it is not UTF-8 text"
        raise KeyringError(f"standard input: {reason}") from None


def _save(file: Path, keyring: Keyring, next_steps: str) -> None:
    from meshcache.edges.keyfile import save_keyring

    save_keyring(file.resolve() if file.is_symlink() else file, keyring)
    click.echo(f"{file}:\n{_states(keyring)}\n{next_steps.format(file=file, current=keyring.current.fingerprint)}")


def _nothing_to_do(file: Path, why: str, keyring: Keyring) -> None:
    click.echo(f"{file}: nothing changed: {why}\n{_states(keyring)}")


def _states(keyring: Keyring) -> str:
    return "\n".join(f"  {key.fingerprint}  {key.state.value}" for key in keyring.keys)
