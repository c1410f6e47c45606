"""A discovery: peers are the lines of a file that something else writes, such as a template of consul-template's.

    [hooks]
    discoveries = ["address_file:AddressFile"]
    options = { "address_file:AddressFile" = { path = "/run/meshcache/peers" } }

The module must be where Python finds it: installed, or in a folder of PYTHONPATH.
"""

from __future__ import annotations

from pathlib import Path
from threading import Event

from meshcache.hooks import Discovery, Surroundings


class AddressFile(Discovery):
    """Reads the file every few seconds. What is new in it is found, what is gone from it is lost."""

    name = "address_file"

    def __init__(self, path: str, every_s: float = 5.0) -> None:
        self._path = Path(path)
        self._every_s = every_s
        self._closed = Event()

    def run(self, here: Surroundings) -> None:
        known: set[str] = set()
        while not self._closed.is_set():
            listed = set(self._path.read_text().split())  # what is raised is counted, and run is called again
            for address in listed - known - {here.address}:
                here.found(address)
            for address in known - listed:
                here.lost(address)
            known = listed
            self._closed.wait(self._every_s)

    def close(self) -> None:
        self._closed.set()
