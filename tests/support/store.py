"""A store for tests: Debian's redis-server on loopback, which can be stopped, frozen, and started again empty."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from pathlib import Path

from tests.support.material import Authority, free_ports
from tests.support.processes import stop
from tests.support.waiting import PATIENCE_S, wait_until

PROGRAM = "redis-server"


class StoreServer:
    """One that keeps nothing on disk. `options` are lines of redis.conf(5), as pairs."""

    def __init__(self, folder: Path, authority: Authority | None = None, **options: str) -> None:
        program = shutil.which(PROGRAM)
        assert program is not None, "tools/need sees to it"
        (self.port,) = free_ports(1)
        self.socket = folder / "store.sock"
        self._tls = authority is not None
        listens = {"tls-port": str(self.port), "port": "0"} if self._tls else {"port": str(self.port)}
        if authority is not None:
            authority.write(folder, "store")
            names = {"tls-cert-file": "store.pem", "tls-key-file": "store.key", "tls-ca-cert-file": "ca.pem"}
            listens |= {key: str(folder / name) for key, name in names.items()}
            listens["tls-auth-clients"] = "no"
        settings = {
            "bind": "127.0.0.1",
            "save": '""',
            "appendonly": "no",
            "dir": str(folder),
            "unixsocket": str(self.socket),
            "daemonize": "no",
            **listens,
            **{key.replace("_", "-"): value for key, value in options.items()},
        }
        self._file = folder / "store.conf"
        self._file.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        self._command = [program, str(self._file)]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"{'valkeys' if self._tls else 'valkey'}://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._listens, what="the store listens")

    def freeze(self) -> None:
        assert self._process is not None
        stop(self._process)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill it; what it had is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(PATIENCE_S)

    def _listens(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            pass
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(str(self.socket))
        return True
