"""What comes on a connection before TLS is spoken: a balancer's PROXY header, and the name in the ClientHello.

Only for addresses where one of them decides something; elsewhere the first bytes go to OpenSSL at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..proxy_protocol import Endpoint
from .client_hello import HelloReader, Incomplete
from .proxy_header import Header, HeaderError, looks_like_one, read_header
from .routes import Routes
from .service import Service

STRANGER = "PROXY header from an address that isn't in proxy_from"


@dataclass(frozen=True, slots=True)
class Opening:
    """The service for a connection, the TLS bytes that have come, and what a PROXY header said of its two ends."""

    service: Service
    received: bytes
    ends: tuple[Endpoint, Endpoint] | None = None
    local: bool = False


class Preface:
    """The first bytes of one connection. Raises HeaderError where a header is wrong, missing or a stranger's."""

    __slots__ = ("_buffer", "_header", "_hello", "_routes", "_wants_header")

    def __init__(self, routes: Routes, host: str) -> None:
        """`host` is the IP address that the connection comes from."""
        self._routes = routes
        self._buffer = bytearray()
        self._header: Header | None = None
        self._hello = HelloReader()
        self._wants_header = routes.expects_header(host)

    def receive(self, data: bytes) -> Opening | None:
        """Take more bytes; None until it is known whom they are for, and no more after that."""
        self._buffer += data
        if self._wants_header:
            self._header = read_header(self._buffer)
            if self._header is None:
                return None
            del self._buffer[: self._header.size]
            self._wants_header = False
        elif self._header is None and looks_like_one(self._buffer):
            raise HeaderError(STRANGER)
        service = self._routes.only
        if service is None:
            try:
                service = self._routes.service(self._hello.server_name(self._buffer))
            except Incomplete:
                return None
        header = self._header or Header(0)
        opening = Opening(service, bytes(self._buffer), header.ends, header.local)
        del self._buffer, self._hello  # the connection keeps this object, and needs neither
        return opening
