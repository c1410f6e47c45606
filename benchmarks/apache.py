"""Two of Debian's Apache servers that share sessions through memcached: the widespread way, to be measured beside ours.

mod_ssl asks the store inside OpenSSL's callbacks and waits for its answer. Tickets are off, as in our servers.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from benchmarks.material import NAME, VIP, free_port, write_certificate
from benchmarks.servers import folder

HOSTS = ("127.0.0.1", "127.0.0.2")
APACHE, MEMCACHED = Path("/usr/sbin/apache2"), Path("/usr/bin/memcached")
_MODULES = Path("/usr/lib/apache2/modules")
_NEEDED = ("mpm_event", "authz_core", "ssl", "socache_memcache")
_START_S_MAX = 30.0
_END_S_MAX = 15.0


def installed() -> bool:
    """Whether Debian's apache2-bin and memcached are here."""
    return APACHE.exists() and MEMCACHED.exists() and (_MODULES / "mod_socache_memcache.so").exists()


@contextmanager
def servers() -> Iterator[list[str]]:
    """Start one store and two servers; the addresses of these."""
    with folder() as place, ExitStack() as stack:
        place.chmod(0o755)  # Apache's children are another user
        write_certificate(place)
        store = free_port(HOSTS[0])
        user = ("-u", "nobody") if os.geteuid() == 0 else ()
        stack.enter_context(_started((str(MEMCACHED), *user, "-l", HOSTS[0], "-p", str(store), "-U", "0"), place))
        _wait(HOSTS[0], store, place)
        addresses = []
        for host in HOSTS:
            port = free_port(host)
            file = place / f"apache-{host}.conf"
            file.write_text(_configuration(place, host, port, store))
            stack.enter_context(_started((str(APACHE), "-f", str(file), "-DFOREGROUND"), place))
            _wait(host, port, place)
            addresses.append(f"{host}:{port}")
        yield addresses


def _configuration(place: Path, host: str, port: int, store: int) -> str:
    modules = "\n".join(f"LoadModule {each}_module {_MODULES}/mod_{each}.so" for each in _NEEDED)
    return f"""{modules}
ServerRoot {place}
DefaultRuntimeDir {place}
PidFile {place}/{host}.pid
ErrorLog {place}/{host}.err
LogLevel warn
User nobody
Group nogroup
ServerName {NAME}:443
Listen {host}:{port} https
StartServers 2
ServerLimit 2
ThreadsPerChild 32
MaxRequestWorkers 64
MinSpareThreads 1
MaxSpareThreads 64
SSLSessionCache memcache:{HOSTS[0]}:{store}
SSLSessionCacheTimeout 3600
SSLEngine on
SSLProtocol -all +TLSv1.2 +TLSv1.3
SSLSessionTickets off
SSLCertificateFile {place}/{VIP}.pem
SSLCertificateKeyFile {place}/{VIP}.key
DocumentRoot {place}
"""


@contextmanager
def _started(command: tuple[str, ...], place: Path) -> Iterator[None]:
    with (place / "peers.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_END_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(host: str, port: int, place: Path) -> None:
    deadline = time.monotonic() + _START_S_MAX
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((host, port), 5):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{host}:{port} did not open: {(place / 'peers.log').read_text(errors='replace')[-2000:]}")
