"""What can be configured for one VIP: its addresses, its certificate, and where its sessions may go."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from meshcache.config.table import Table
from meshcache.config.values import (
    BackendTarget,
    Bind,
    Copies,
    FilePath,
    HostName,
    Listed,
    Name,
    Network,
    Number,
    ReachValue,
    Share,
    Truth,
    Whole,
    split_backend,
)
from meshcache.core.policy.gates import REACH_COLO, REACH_SERVER
from meshcache.core.values.session import LIFETIME_S_MAX_TLS12, LIFETIME_S_MAX_TLS13, LINEAGE_S_MAX
from meshcache.core.values.ticket_key import ROTATE_S_MAX, ROTATE_S_MIN

TICKETS = 2
"""OpenSSL's own number. A client that uses each ticket once (Java, browsers) and comes back with two connections at a
time resumes both; each further ticket is one more session for the mesh to carry, see docs/performance.md."""

AWAIT_MS_MAX = 1000
"""Longer than any push should take: a full handshake is over sooner."""

CALLBACK_MS_MAX = 2
"""A thread that waits inside a callback does nothing else: an event loop stands still for all its connections."""

PAUSE_S_MAX = 2.0
"""What all steps together may make a handshake wait, whatever they say: clients give up after some seconds, and a full
handshake between two continents takes 0.3."""

FETCH_MS_MAX = 1500
"""A full handshake between continents takes 300 ms."""

TICKETS_MAX = 4
"""Browsers open up to six connections to one server over HTTP/1.1 and keep two to four tickets."""

TICKET_KEYS_OPEN = 24
"""Ticket keys of one ring that open at a time in a mesh that isn't split: half of what a node keeps."""

LISTEN_MAX = 64
"""Addresses of one VIP: each is a socket of its own."""

NAMES_MAX = 1000
"""Names that one certificate covers; public authorities stop at 100."""

BACKENDS_MAX = 256
"""Of one VIP; each may be checked every few seconds."""

CERTIFICATES_MAX = 1000
"""Beside the first. Each set of names takes a TLS context, about 100 kB."""


class CertificateSettings(Table):
    """One certificate of a VIP with its key, beside the VIP's first."""

    certificate: FilePath = Field(examples=["shop-ecdsa.pem"])
    """PEM: the server's certificate first, then the intermediate ones."""

    private_key: FilePath = Field(examples=["shop-ecdsa.key"])
    """PEM without a passphrase."""

    ocsp: FilePath | None = Field(default=None, examples=["shop-ecdsa.ocsp"])
    """The authority's OCSP response for this certificate, in DER, which is sent to clients that ask for one."""


class ClientAuthSettings(Table):
    """Client certificates, which a VIP without this table never asks for."""

    mode: Literal["optional", "required"] = Field(examples=["required"])
    ca_file: FilePath = Field(examples=["clients-ca.pem"])
    """The authorities whose client certificates are good, in PEM; their names are sent to clients."""

    crl_file: FilePath | None = Field(default=None, examples=["clients-crl.pem"])
    """Revoked client certificates, in PEM: one list for each authority."""

    depth: Whole | None = Field(default=None, ge=0, le=100, examples=[2])
    """Intermediate authorities between a client's certificate and the root. Default: OpenSSL's own limit."""


class HealthSettings(Table):
    """Checks of a VIP's backends: connect and close. Without this table a backend is down for a while after three
    clients' connects failed there."""

    interval_s: Number = Field(default=5.0, gt=0, le=3600, examples=[5])
    """Between two checks of a backend."""

    timeout_s: Number = Field(default=2.0, gt=0, le=300, examples=[2])
    """For the backend to accept."""

    fall: Whole = Field(default=3, ge=1, le=100, examples=[3])
    """Failures in a row that take a backend out."""

    rise: Whole = Field(default=2, ge=1, le=100, examples=[2])
    """Successes in a row that bring it back."""


class SharingSettings(Table):
    """Where a VIP's sessions may be used; the stricter end of every crossing wins."""

    bind: Literal["name", "certificate"] = Field(default="name", examples=["name"])
    """What a session is bound to besides the server's name: with "certificate" the chain as well, so that a renewal of
    the certificate ends every session."""

    group: Name | None = Field(default=None, examples=["storefront"])
    """VIPs of one group take each other's sessions. Default: the VIP's own name, shared with no other VIP."""

    reach: ReachValue = Field(default=REACH_COLO, examples=["colo"])
    """How far sessions travel: "server", "colo", a list of colos, or "everywhere"."""

    client_certificates: Literal["never", "revalidate"] = Field(default="never", examples=["never"])
    """Whether a session that a client certificate was shown for may leave its server; "revalidate" checks the
    certificate again wherever it resumes."""

    lifetime_s: Number = Field(default=3600.0, ge=1, le=LIFETIME_S_MAX_TLS13, examples=[3600])
    """How long a session can be resumed. Longer saves more full handshakes, and leaves more behind for a thief."""

    lineage_s: Number = Field(default=86_400.0, ge=1, le=LINEAGE_S_MAX, examples=[86_400])
    """How long renewals in TLS 1.3 may go on after one full handshake."""

    rotate_s: Number = Field(default=21_600.0, ge=ROTATE_S_MIN, le=ROTATE_S_MAX, examples=[21_600])
    """How long one ticket key encrypts, where ``resumption`` isn't "sessions". Whoever steals a key can open what was
    encrypted with it; a key is good for ``rotate_s`` and ``lifetime_s`` together, and some minutes."""

    quota: Share | None = Field(default=None, examples=["25%"])
    """The VIP's part of the cache, so that no VIP evicts another's. Default: an equal part of what others leave."""

    live: Literal["any", "tighten", "none"] = Field(
        default_factory=lambda valid: "tighten" if valid.get("reach") == REACH_SERVER else "any",
        validate_default=True,
        examples=["any"],
    )
    """What ``meshcache policy set`` may do to this VIP on this node: anything, only what is stricter than this file, or
    nothing. Default: "any", and "tighten" where this file keeps sessions on their server."""


class VipSettings(Table):
    """One service address that clients see, and how its sessions are shared."""

    name: Name = Field(examples=["shop"])
    """The same on every server of the VIP: nodes share by this name."""

    listen: Annotated[tuple[Bind, ...], Listed] = Field(default=(), max_length=LISTEN_MAX, examples=[["0.0.0.0:8443"]])
    """Addresses of the bundled server. None: the VIP is served by a context that a program attaches."""

    certificate: FilePath | None = Field(default=None, examples=["shop.pem"])
    """PEM: the server's certificate first, then the intermediate ones."""

    private_key: FilePath | None = Field(default=None, examples=["shop.key"])
    """PEM without a passphrase, readable by its owner only."""

    ocsp: FilePath | None = Field(default=None, examples=["shop.ocsp"])
    """The authority's OCSP response for ``certificate``, in DER, which is sent to clients that ask for one."""

    more_certificates: tuple[CertificateSettings, ...] = Field(default=(), max_length=CERTIFICATES_MAX)
    """Further certificates: of another kind (RSA beside ECDSA) for the same names, or for other names. A client gets
    the one that is for the name it asks for and that it can verify; the first is for those who ask for no name."""

    default: Truth = Field(default=False, examples=[True])
    """On an address that several VIPs listen on: take clients that ask for a name which no certificate there has, or
    for none. Default: the first VIP of the address in this file."""

    proxy_from: Annotated[tuple[Network, ...], Listed] = Field(default=(), max_length=256, examples=[["10.0.0.0/8"]])
    """Networks of load balancers that begin each connection with a PROXY protocol header, version 1 or 2. From there
    it is demanded, from elsewhere refused."""

    names: Annotated[tuple[HostName, ...], Listed] = Field(
        default=(), max_length=NAMES_MAX, examples=[["shop.example"]]
    )
    """Server names under which sessions are good for one another. Default: each name that the certificate covers is
    alone."""

    backend: Annotated[tuple[BackendTarget, ...], Listed] = Field(
        default=(), max_length=BACKENDS_MAX, examples=[["127.0.0.1:8080", "unix:/run/shop.sock"]]
    )
    """Where decrypted bytes go: to the one of these with the fewest connections for its weight, which may follow it
    (``"10.0.0.6:8080 weight=3"``). None: the built-in responder answers."""

    handshake_timeout_s: Number | None = Field(default=None, gt=0, le=300, examples=[10])
    """From the connection to the handshake's end. Default: ``server.handshake_timeout_s``."""

    idle_timeout_s: Number | None = Field(default=None, gt=0, le=86_400, examples=[1800])
    """Without a byte in either direction. Default: ``server.idle_timeout_s``."""

    connect_timeout_s: Number | None = Field(default=None, gt=0, le=300, examples=[5])
    """To each backend that is tried. Default: ``server.connect_timeout_s``."""

    health: HealthSettings | None = None

    proxy_protocol: Truth = Field(default=False, examples=[False])
    """Tell the backend the client's address in a PROXY protocol version 2 header; the backend must expect it."""

    alpn: Annotated[tuple[str, ...], Listed] = Field(default=(), max_length=16, examples=[["http/1.1"]])
    """Application protocols by preference. Default: none, the backend speaks what it speaks."""

    tickets: Whole = Field(default=TICKETS, ge=1, le=TICKETS_MAX, examples=[2])
    """New sessions for a TLS 1.3 client after a full handshake. Java and browsers use each once (RFC 8446 section C.4),
    so that of several connections at once as many resume as they have; each is one more session for the mesh to carry
    and keep. A program's context with a number of its own keeps that."""

    resumption: Literal["sessions", "tickets", "both"] = Field(default="sessions", examples=["both"])
    """Who keeps what a client resumes with: servers, in their caches ("sessions"); the client, in tickets under keys
    that the mesh makes and changes ("tickets"); or servers in TLS 1.3, and clients that ask for a ticket in TLS 1.2
    ("both"). docs/tickets.md says when to use which."""

    await_ms: Number = Field(default=5.0, ge=0, le=AWAIT_MS_MAX, examples=[5])
    """How long a handshake of the bundled server waits for a session that is on its way here from the server that made
    it, at most. Only a client that is back within moments waits, and only under an id that a member of the mesh made;
    longer helps where machines are busy. 0: never."""

    await_in_callback_ms: Number = Field(default=0.0, ge=0, le=CALLBACK_MS_MAX, examples=[1])
    """The same for an embedded server whose handshakes can't be paused (Python's ``ssl``, or no ``pauses``): how long
    the thread of the handshake stands still for it, at most, and with it an event loop's other connections. Never for
    a fetch or a tier. 0: never."""

    fetch: Literal["off", "colo", "reach"] = Field(default="colo", examples=["colo"])
    """Whether a handshake of the bundled server asks other servers for a session that isn't here and isn't on its way:
    those of its colo, or all that the VIP's reach allows. Only for ids that a member made; never for what is over."""

    fetch_ms: Number = Field(default=10.0, gt=0, le=FETCH_MS_MAX, examples=[10])
    """How long it waits for the answer, at most, within the colo."""

    fetch_far_ms: Number = Field(default=100.0, gt=0, le=FETCH_MS_MAX, examples=[100])
    """How long, where a server of another colo is asked: with ``fetch = "reach"``."""

    copies: Copies = Field(default="all", examples=["all"])
    """How many servers of each colo hold a session: "all" that may have it, or so many, the one that made it included.
    The others fetch it when its client comes to them, so ``fetch`` may not be "off"."""

    push: Literal["all", "none"] = Field(default="all", examples=["all"])
    """Whether other colos get copies: with "none" a session stays in the colo where it was made, on as many servers as
    ``copies`` says, and others fetch it with ``fetch = "reach"``."""

    single_use: Literal["off", "best_effort"] = Field(default="off", examples=["best_effort"])
    """Whether a TLS 1.3 session is good for one handshake only: what resumed is forgotten here and told to every server
    that may hold it. Until one was told, or while it can't be reached, it takes the session as well. Sessions of TLS
    1.2 are left as they are: their clients get no new one. Clients that offer a session twice get a full handshake."""

    min_tls: Literal["1.2", "1.3"] = Field(default="1.2", examples=["1.2"])
    """The lowest version accepted. Nothing below 1.2 is offered (RFC 8996)."""

    ciphers: str | None = Field(default=None, min_length=1, max_length=4096, examples=["ECDHE+AESGCM"])
    """Ciphers of TLS 1.2 and 1.3, in OpenSSL's notation (openssl-ciphers(1)): names of TLS 1.3 begin with ``TLS_``. A
    version that none of them is of keeps the server's own."""

    client_auth: ClientAuthSettings | None = None
    sharing: SharingSettings = SharingSettings()

    @property
    def copies_told(self) -> int:
        """How many copies there are to be in a colo, as nodes tell each other: 0 for all."""
        return self.copies if isinstance(self.copies, int) else 0

    @property
    def group(self) -> str:
        """The share group that holds: the one given, or the VIP alone under its own name."""
        return self.sharing.group or self.name

    @property
    def backends(self) -> tuple[tuple[str, int], ...]:
        """Each backend with its weight."""
        return tuple(map(split_backend, self.backend))

    @property
    def certificates(self) -> tuple[CertificateSettings, ...]:
        """Every certificate of the VIP with its key, in the file's order; none where the first isn't whole."""
        if self.certificate is None or self.private_key is None:
            return ()
        first = CertificateSettings(certificate=self.certificate, private_key=self.private_key, ocsp=self.ocsp)
        return (first, *self.more_certificates)

    @field_validator("single_use", mode="after")
    @classmethod
    def _tickets_cant_be_used_up(cls, single_use: str, info: ValidationInfo) -> str:
        if single_use != "off" and info.data.get("resumption") == "tickets":
            raise ValueError(
                "a ticket can't be used up: its client keeps it, and no server remembers it; with "
                'resumption = "tickets" it must be "off", with "sessions" or "both" it holds for TLS 1.3'
            )
        return single_use

    @field_validator("min_tls", mode="before")
    @classmethod
    def _number_is_fine(cls, plain: object) -> object:
        return str(plain) if isinstance(plain, float) else plain

    @field_validator("copies", mode="after")
    @classmethod
    def _copies_are_fetched(cls, copies: int | Literal["all"], info: ValidationInfo) -> int | Literal["all"]:
        if copies != "all" and info.data.get("fetch") == "off":
            raise ValueError(
                f"with copies = {copies} most servers don't hold a session and have to fetch it: set fetch to "
                '"colo" or "reach", or copies to "all"'
            )
        return copies

    @field_validator("push", mode="after")
    @classmethod
    def _push_is_whole(cls, push: str, info: ValidationInfo) -> str:
        if push == "none" and info.data.get("copies", 1) == "all":
            raise ValueError(
                'with push = "none" a session stays with its server and copies - 1 others: say how many copies '
                '(copies = 2, say), or set push to "all"'
            )
        return push

    @field_validator("alpn", mode="after")
    @classmethod
    def _alpn_fits(cls, protocols: tuple[str, ...]) -> tuple[str, ...]:
        for protocol in protocols:
            if not (protocol.isascii() and 0 < len(protocol) <= 255):
                raise ValueError('a protocol is 1 to 255 ASCII characters, such as "http/1.1" (RFC 7301 section 3.1)')
        return protocols

    @field_validator("sharing", mode="after")
    @classmethod
    def _lifetimes_fit(cls, sharing: SharingSettings, info: ValidationInfo) -> SharingSettings:
        if sharing.lifetime_s > LIFETIME_S_MAX_TLS12 and info.data.get("min_tls") == "1.2":
            raise ValueError(
                f"lifetime_s is at most {LIFETIME_S_MAX_TLS12} (24 hours) while the VIP speaks TLS 1.2; "
                'with min_tls = "1.3" it may be up to 7 days'
            )
        has_tickets = info.data.get("resumption") != "sessions"
        if has_tickets and sharing.rotate_s * TICKET_KEYS_OPEN < sharing.lifetime_s:
            raise ValueError(
                f"rotate_s must be at least a {TICKET_KEYS_OPEN}th of lifetime_s: each node keeps that many ticket keys"
            )
        if sharing.lineage_s < sharing.lifetime_s:
            raise ValueError("lineage_s must be at least lifetime_s, or sessions would end before their lifetime")
        return sharing
