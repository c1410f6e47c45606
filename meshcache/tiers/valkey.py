"""The tier in a Valkey or Redis that somebody runs already. Knows sealed values only, and trusts the store with none.

Every wait has a limit of ours, and nothing is tried twice: the library has none of the first and, in some versions, ten
of the second. Whoever wants to try again is the runner, after a rest.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshcache.hooks import TIER_VALUE_BYTES_MAX, Tier, TierEntry, TierError
from meshcache.tiers.secret_file import read_secret

READ_TIMEOUT_S = 0.25
"""Of the socket on which handshakes' questions go: by then nobody waits any more, and the connection is given up."""

WRITE_TIMEOUT_S = 3.0
"""Of the socket on which entries are written, up to 512 at a time."""

CONNECT_TIMEOUT_S = 1.0
"""With the handshake of TLS."""

_NO_STRING = b"\0"
"""Stands for what lies under a key of ours and is no string: it is no sealed value, so it is refused and removed."""


@dataclass(frozen=True, slots=True)
class Store:
    """Where the store is and how to get in; the password is in a file."""

    host: str = ""
    port: int = 6379
    path: str = ""
    """Of a Unix socket, in place of the two above."""
    database: int = 0
    tls: bool = False
    ca_file: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    username: str | None = None
    password_file: Path | None = None


class _Credentials:
    """What is shown to the store at each new connection: a password that was changed holds from the next one on."""

    def __init__(self, username: str | None, password_file: Path) -> None:
        self._username = username
        self._password_file = password_file

    def get_credentials(self) -> tuple[str, ...]:
        """Return the username, where there is one, and the password, as the library's `CredentialProvider` does."""
        import valkey

        try:
            password = read_secret(self._password_file)
        except TierError as error:  # after all else the library would go on with this connection, unknown to the store
            raise valkey.AuthenticationError(str(error)) from None
        return (password,) if self._username is None else (self._username, password)


class ValkeyTier(Tier):
    """Use `open` first. Every method raises TierError when the store doesn't do what it should."""

    name = "valkey"

    def __init__(self, store: Store, mesh: str, budget_s: float = 0.02) -> None:
        self._store = store
        self._prefix = f"meshcache:{mesh}:".encode()
        self.budget_s = budget_s
        self._reading: Any = None
        self._writing: Any = None
        self._figures: dict[str, int] = {}

    def open(self) -> None:
        """Connect, and see that the store takes us."""
        with _told():
            self.close()
            self._reading = self._client(max(READ_TIMEOUT_S, self.budget_s))
            self._writing = self._client(WRITE_TIMEOUT_S)
            self._writing.ping()
            self._look()

    def close(self) -> None:
        """Let go of the connections. May be called again."""
        clients, self._reading, self._writing = (self._reading, self._writing), None, None
        for client in clients:
            if client is not None:
                client.close()

    def forked(self) -> None:
        """Use nothing of the parent's in a child process."""
        self._reading = self._writing = None

    def get(self, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        with _told():
            asking = self._open(self._reading).pipeline(transaction=False)
            for key in keys:
                # Not GET: a value of another's may have 512 MB.
                asking.getrange(self._key(key), 0, TIER_VALUE_BYTES_MAX)
            found = asking.execute(raise_on_error=False)
        return dict(self._values(keys, found))

    def put(self, entries: Sequence[TierEntry]) -> None:
        with _told():
            writing = self._open(self._writing).pipeline(transaction=False)
            for key, value, lasts_s in entries:
                writing.set(self._key(key), value, px=max(int(lasts_s * 1000), 1))
            # What the library itself raises of a pipeline repeats the whole command.
            done = writing.execute(raise_on_error=False)
            fault = next((each for each in done if isinstance(each, Exception)), None)
            if fault is not None:
                raise TierError(_words(fault))

    def remove(self, keys: Sequence[bytes]) -> None:
        with _told():
            self._open(self._writing).unlink(*map(self._key, keys))

    def tend(self) -> None:
        with _told():
            self._look()

    def figures(self) -> Mapping[str, int]:
        return self._figures

    def _key(self, key: bytes) -> bytes:
        return self._prefix + urlsafe_b64encode(key).rstrip(b"=")

    def _open(self, client: Any) -> Any:
        if client is None:
            raise TierError("it isn't open")
        return client

    def _look(self) -> None:
        """Note how full the store is, and what it does then."""
        told = self._open(self._writing).info("memory")
        self._figures = {
            "store_bytes": int(told.get("used_memory", 0)),
            "store_max_bytes": int(told.get("maxmemory", 0)),
            "noeviction": int(told.get("maxmemory_policy") == "noeviction"),
        }

    @staticmethod
    def _values(keys: Sequence[bytes], found: Sequence[Any]) -> Iterator[tuple[bytes, bytes]]:
        import valkey

        for key, value in zip(keys, found, strict=True):
            if isinstance(value, valkey.ResponseError):
                if not str(value).startswith("WRONGTYPE"):
                    raise TierError(_words(value))
                yield key, _NO_STRING
            elif isinstance(value, Exception):
                raise TierError(_words(value))
            elif value:
                yield key, bytes(value)

    def _client(self, timeout_s: float) -> Any:
        import valkey
        from valkey.backoff import NoBackoff
        from valkey.retry import Retry

        store = self._store
        credentials: Any = None if store.password_file is None else _Credentials(store.username, store.password_file)
        settings: dict[str, Any] = {"unix_socket_path": store.path} if store.path else self._over_tcp()
        return valkey.Valkey(
            db=store.database,
            credential_provider=credentials,
            socket_timeout=timeout_s,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
            client_name="meshcache",
            protocol=2,
            **settings,
        )

    def _over_tcp(self) -> dict[str, Any]:
        store = self._store
        plain = {"host": store.host, "port": store.port, "socket_keepalive": True}
        if not store.tls:
            return plain
        files = {"ca_certs": store.ca_file, "certfile": store.certificate, "keyfile": store.private_key}
        named = {f"ssl_{name}": str(path) for name, path in files.items() if path is not None}
        return plain | {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True} | named


@contextmanager
def _told() -> Iterator[None]:
    """Raise TierError for what the library and the system say: they speak of connections, and know no session."""
    try:
        yield
    except (TierError, ImportError):
        raise
    except OSError as error:
        raise TierError(_words(error)) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "valkey":
            raise TierError(_words(error)) from error
        raise


def _words(error: Exception) -> str:
    """Return one line that names the kind of error; the store's own words are cut."""
    text = " ".join(str(error).split())[:200].removesuffix(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
