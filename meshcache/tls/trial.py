"""Proves that an OpenSSL can be hooked, before any context of the application's is touched: two handshakes in memory
for each protocol version, of which the second must resume through our own callbacks.

Runs once for each OpenSSL in a process, takes about 5 ms, and leaves nothing behind. The key it makes is never used
again.
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshcache.core.policy.gates import Verdict
from meshcache.core.policy.scope import Names
from meshcache.errors import HookError
from meshcache.tls.callbacks import Callbacks
from meshcache.tls.functions import Functions, ffi
from meshcache.tls.install import install
from meshcache.tls.names import NameMap
from meshcache.tls.port import SessionPort
from meshcache.tls.scopes import Scopes
from meshcache.tls.state import TLS12, TLS13, Mode

_NAME = "trial.invalid"
_TOKEN = 0x6D65736863616368
"""Any number that uses all of a pointer: it must come back whole."""

_EVP_PKEY_EC = 408
_SET_MIN_PROTO, _SET_MAX_PROTO, _SET_TLSEXT_HOSTNAME = 123, 124, 55

_FLIGHTS_MAX = 10
"""Turns that two ends get to finish a handshake; TLS needs three at most."""

_CHUNK_BYTES = 16_384


class _TrialPort:
    """A port over a dict: the whole of a node that a handshake sees."""

    name = "trial"
    allows_client_certificates = False
    single_use = False
    door = None
    asking = None
    ids = None
    ticket_keys = None

    def __init__(self) -> None:
        self.sessions: dict[bytes, bytes] = {}
        self.tokens: list[int] = []
        self.faults: list[str] = []

    def made_here(self, _token: int, /) -> bool:
        return True

    def created(self, session_id: bytes, der: bytes, token: int, _client: bool, _version: int, /) -> None:
        self.sessions[session_id] = der
        self.tokens.append(token)

    def find(self, session_id: bytes, /) -> tuple[bytes, int] | None:
        der = self.sessions.get(session_id)
        return None if der is None else (der, _TOKEN)

    def unusable(self, _session_id: bytes, reason: Verdict, /) -> None:
        self.faults.append(reason.value)

    def hit(self, _token: int, /) -> None:
        """Counted nowhere."""

    def missed(self, _foreign: bool = False, /) -> None:
        """Counted nowhere."""

    def lookup_refused(self, reason: Verdict, /) -> None:
        self.faults.append(reason.value)

    def session_refused(self, reason: Verdict, /) -> None:
        self.faults.append(reason.value)

    def removed(self, _session_id: bytes, /) -> None:
        self.faults.append("removed")

    def publish(self) -> None:
        self.faults.append("publish")

    def full(self) -> None:
        """Counted nowhere: `run` looks at what OpenSSL says."""

    def consumed(self, _session_id: bytes, /) -> None:
        self.faults.append("consumed")

    def hit_not_resumed(self) -> None:
        self.faults.append("hit_not_resumed")

    def now(self) -> float:
        return 0.0

    def born_at(self, _token: int, /) -> None:
        """Has no lineages."""

    def ticket_token(self, _node: str, _born_at: float, /) -> int:
        return _TOKEN

    def ticket_may_resume(self, _node: str, _born_at: float, _ends_at: float, _client: bool, /) -> bool:
        return True

    def ticket_issued(self) -> None:
        self.faults.append("ticket_issued")

    def ticket_opened(self, _key_age_s: float, /) -> None:
        self.faults.append("ticket_opened")

    def ticket_refused(self, reason: Verdict, /) -> None:
        self.faults.append(reason.value)

    def ticket_unknown(self) -> None:
        self.faults.append("ticket_unknown")

    def fault(self, where: str, /) -> None:
        self.faults.append(where)


class _Attached:
    def __init__(self, port: SessionPort, pointer: int) -> None:
        self.port = port
        self.scopes = Scopes(Names((_NAME,)), bytes(32))
        self.pointer = pointer
        self.verify_mode = 0
        self.revalidates = False
        self.names: NameMap | None = None
        self.mode = Mode.SESSIONS
        self.pauses = False


def prove(callbacks: Callbacks) -> None:
    """Raises HookError when a session does not resume, or does not carry its token, with this OpenSSL."""
    key, certificate = _key_and_certificate()
    for version in (TLS12, TLS13):
        with ExitStack() as stack:
            problem = _Trial(callbacks.functions, stack).run(callbacks, version, key, certificate)
        if problem:
            raise HookError(
                f"this OpenSSL can't be hooked: in a trial handshake (TLS {version:#06x}) {problem}. "
                "Install cryptography's own wheel, or a Python with a shared OpenSSL 3 or later"
            )


class _Trial:
    def __init__(self, functions: Functions, stack: ExitStack) -> None:
        self._f = functions
        self._stack = stack

    def run(self, callbacks: Callbacks, version: int, key: bytes, certificate: bytes) -> str | None:
        """Return what went wrong, if anything."""
        client, server = self._context(version), self._context(version)
        if not self._load(server, key, certificate):
            return "its certificate was refused"
        port = _TrialPort()
        attached = _Attached(port, server)
        callbacks.add(attached)
        self._stack.callback(callbacks.drop, attached)
        install(callbacks, server, remove=False, lifetime_s=None, tickets=1)
        first = self._handshake(client, server, None)
        if first is None or not port.sessions:
            return "no session reached the callbacks"
        second = self._handshake(client, server, self._session(first[0]))
        if second is None or self._f.SSL_session_reused(second[1]) != 1:
            return "the session did not resume"
        renewed = [0] if version == TLS12 else [0, _TOKEN]
        if callbacks.token_of(second[1]) != _TOKEN or port.tokens != renewed:
            return "the session lost what it must carry"
        return ", ".join(port.faults) or None

    def _context(self, version: int) -> int:
        context = self._made(self._f.SSL_CTX_new(self._f.TLS_method()))
        self._stack.callback(self._f.SSL_CTX_free, context)
        for bound in (_SET_MIN_PROTO, _SET_MAX_PROTO):
            self._f.SSL_CTX_ctrl(context, bound, version, ffi.NULL)
        return context

    def _load(self, context: int, key: bytes, certificate: bytes) -> bool:
        f = self._f
        return bool(
            f.SSL_CTX_use_certificate_ASN1(context, len(certificate), certificate) == 1
            and f.SSL_CTX_use_PrivateKey_ASN1(_EVP_PKEY_EC, context, key, len(key)) == 1
        )

    def _session(self, ssl: int) -> int:
        session = self._made(self._f.SSL_get1_session(ssl))
        self._stack.callback(self._f.SSL_SESSION_free, session)
        return session

    def _handshake(self, client: int, server: int, session: int | None) -> tuple[int, int] | None:
        """Return both ends of a finished handshake, the client having read its ticket; None when it failed."""
        f = self._f
        ends = [self._end(client), self._end(server)]
        f.SSL_ctrl(ends[0][0], _SET_TLSEXT_HOSTNAME, 0, ffi.new("char[]", _NAME.encode()))
        if session:
            f.SSL_set_session(ends[0][0], session)
        f.SSL_set_connect_state(ends[0][0])
        f.SSL_set_accept_state(ends[1][0])
        done = [0, 0]
        for flight in range(_FLIGHTS_MAX):
            mine, other = ends[flight % 2], ends[(flight + 1) % 2]
            done[flight % 2] = f.SSL_do_handshake(mine[0])
            self._carry(mine[2], other[1])
            if done == [1, 1]:
                f.SSL_read(ends[0][0], ffi.new("char[1]"), 1)
                return ends[0][0], ends[1][0]
        return None

    def _end(self, context: int) -> tuple[int, int, int]:
        """Return a connection with the memory it reads from and the memory it writes to, which it owns."""
        f = self._f
        ssl = self._made(f.SSL_new(context))
        self._stack.callback(f.SSL_free, ssl)
        incoming, outgoing = self._made(f.BIO_new(f.BIO_s_mem())), self._made(f.BIO_new(f.BIO_s_mem()))
        f.SSL_set_bio(ssl, incoming, outgoing)
        return ssl, incoming, outgoing

    def _carry(self, source: int, target: int) -> None:
        buffer = ffi.new("char[]", _CHUNK_BYTES)
        while (size := self._f.BIO_read(source, buffer, _CHUNK_BYTES)) > 0:
            self._f.BIO_write(target, buffer, size)
        self._f.ERR_clear_error()

    def _made(self, pointer: int) -> int:
        if not pointer:
            raise HookError("this OpenSSL can't be hooked: it makes no objects for a trial handshake")
        return pointer


def _key_and_certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    der = serialization.Encoding.DER
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(der, form, serialization.NoEncryption()), certificate.public_bytes(der)
