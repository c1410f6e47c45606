"""The seam between a TLS connection and what answers on it: forwarding or the built-in responder. No behaviour.

A connection calls its application, and the application calls back; both run on the loop's thread, so calls may nest.
"""

from __future__ import annotations

from typing import Protocol

from OpenSSL import SSL


class Client(Protocol):
    """What an application may do with its client. All of it is harmless on a connection that is closing or gone."""

    @property
    def tls(self) -> SSL.Connection:
        """The established TLS connection, to ask about; reading and writing are the methods below."""

    def endpoint(self, which: str) -> tuple[str, int] | None:
        """IP address and port: ``peername`` is the client's, ``sockname`` ours. None if the client is gone."""

    def send(self, plain: bytes) -> None:
        """Encrypt and send. Never blocks; `Application.stalled` says when the client has fallen behind."""

    def send_end(self) -> None:
        """Say that nothing more will be sent (close_notify, then FIN); the client may go on sending."""

    def close(self) -> None:
        """Send what waits and close_notify, then close. The application gets `Application.lost` at once."""

    def abort(self, kind: str, backend: str = "") -> None:
        """Reset the connection, so that what the client has can't pass for complete; counted as `kind`."""

    def fault(self, kind: str, backend: str = "") -> None:
        """Count something that went wrong; one of few fixed texts, for operators, and the backend that it was at."""

    def pause(self) -> None:
        """Take no more bytes from the client until `resume`."""

    def resume(self) -> None:
        """Take bytes from the client again."""

    def acknowledge_early(self) -> None:
        """Let the client's kernel send the rest of what it holds without waiting (Nagle meets delayed ACK)."""

    def touch(self) -> None:
        """Something useful happened: the idle timeout starts anew."""


class Application(Protocol):
    """What answers on one established connection."""

    def start(self) -> None:
        """The handshake is over. Called once, before anything else."""

    def receive(self, plain: bytes) -> None:
        """Bytes from the client, at most what one read from the socket brings (256 KiB)."""

    def end(self) -> None:
        """The client said that it sends nothing more; it may still read."""

    def lost(self) -> None:
        """The client is gone or about to be; let go of everything. May be called more than once."""

    def stalled(self) -> None:
        """The client isn't reading: send no more until `flowing`."""

    def flowing(self) -> None:
        """The client reads again."""

    def drain(self) -> None:
        """The server wants to stop: end the connection as soon as nothing is in flight on it."""
