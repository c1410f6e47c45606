"""What one worker's settings are, made from those of its server: its name, its folder, its sockets and its port.

web-1.4f2a9c.w0      node.name or the host's, the tag of the state folder, the slot's number
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from meshcache.config import MeshSettings, Settings, load, read_config, split_address
from meshcache.config.values import NAME_CHARS_MAX, SOCKET_PATH_BYTES_MAX, PortRange, join_address
from meshcache.workers.slots import TAG_CHARS, Slot

log = logging.getLogger("meshcache.mesh")

_Read = Callable[..., Settings]
"""Makes settings of the file's content, with overrides and values for its placeholders."""

_SUFFIX_CHARS_MAX = len(".") + TAG_CHARS + len(".w1023")


def worker_settings(
    path: Path,
    overrides: Sequence[str] = (),
    slot: Slot | None = None,
    *,
    content: bytes | None = None,
    numbered: Callable[[int], None] | None = None,
) -> tuple[Settings, Slot]:
    """Return the settings of a worker of the server that a file describes, and the slot that it has from now on: the
    one given, of a worker that reads its file again. With ``content`` the file is taken to hold that. ``numbered`` is
    told the worker's number before anything is logged.

    A name with ``{worker}`` in it is taken as it stands; every other one gets the folder's tag and the slot's number.
    Raises ConfigError.
    """
    # Read once, for all that is made of it: the file may change meanwhile.
    read: _Read = partial(load, path, content=read_config(path) if content is None else content)
    server = read(overrides, placeholders={"pid": 0})
    given, slot = slot, slot or Slot.take(server.node.state_dir)
    try:
        if numbered is not None:
            numbered(slot.number)
        assert server.node.state_dir is not None, "the slot is in it"
        folder = server.node.state_dir / f"worker-{slot.number}"
        own = [
            *overrides,
            f"node.name={json.dumps(_name(read, overrides, slot))}",
            f"node.state_dir={json.dumps(str(folder))}",
        ]
        own += _socket(read, own, slot, folder)
        settings = read(own, placeholders=_values(slot))
        return settings.model_copy(update={"mesh": _listening(settings.mesh, slot)}), slot
    except BaseException:
        if given is None:
            slot.release()
        raise


def host_of(name: str) -> str:
    """Return what the names of one host's workers have in common; the name itself for a node that is no worker."""
    host, dot, slot = name.rpartition(".w")
    return host if dot and slot.isdigit() else name


def _values(slot: Slot, ahead: int = 0) -> dict[str, object]:
    return {"pid": os.getpid(), "worker": slot.number + ahead}


def _name(read: _Read, overrides: Sequence[str], slot: Slot) -> str:
    name, another = (read(overrides, placeholders=_values(slot, ahead)).node.name for ahead in (0, 1))
    if name != another:
        return name
    return f"{name[: NAME_CHARS_MAX - _SUFFIX_CHARS_MAX].rstrip('.-')}.{slot.tag}.w{slot.number}"


def _listening(mesh: MeshSettings, slot: Slot) -> MeshSettings:
    """Return the settings with the worker's own port, which its slot keeps: one that reads its file again uses it."""
    host = split_address(mesh.listen)[0]
    port = slot.port
    if port is None:
        port = _port(mesh.worker_ports, host, slot.number)
        slot.keep_port(port)
        if mesh.advertise is not None and not port:
            log.warning("mesh.advertise: left out, since this worker has a free port; give workers mesh.worker_ports")
    told = mesh.advertise and port and join_address(split_address(mesh.advertise)[0], port)
    return mesh.model_copy(update={"listen": join_address(host, port), "advertise": told or None})


def _port(ports: PortRange | None, host: str, number: int) -> int:
    """Return the port of a worker's number; 0, any that is free, where there is none for it."""
    if ports is None:
        return 0
    port = ports.first + number
    if port > ports.last:
        log.warning("mesh.worker_ports: worker %d is beyond %s, and has any free port", number, ports)
        return 0
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return port
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        log.warning("mesh.worker_ports: worker %d has any free port: %d: %s", number, port, why)
        return 0


def _socket(read: _Read, overrides: Sequence[str], slot: Slot, folder: Path) -> list[str]:
    """Return what makes the admin socket the worker's own:
    nothing where the file's name for it differs between workers.
    """
    own = folder / "admin.sock"
    if len(bytes(own)) > SOCKET_PATH_BYTES_MAX:
        log.warning("no admin socket: %s is longer than Unix sockets take; shorten node.state_dir", own)
        return ["admin.socket=false"]
    one, another = (read(overrides, placeholders=_values(slot, ahead)).admin.socket for ahead in (0, 1))
    return [] if one is None or one != another else [f"admin.socket={json.dumps(str(own))}"]
