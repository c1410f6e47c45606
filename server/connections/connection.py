"""One client connection: handshake, then an application, then an orderly close. Knows sockets; TLS is `stream`'s.

Order matters in one place: the mesh's callbacks run inside `TlsStream.handshake`, so a new session is published before
the bytes that end the client's handshake are written, and a client can't be back anywhere before its session.
"""

from __future__ import annotations

import asyncio

from OpenSSL import SSL

from ..addresses import host_of
from ..applications.application import Application
from ..limits import LINGER_S, UNSENT_BYTES_MAX
from ..proxy_protocol import Endpoint
from ..resets import acknowledge_early, end_writing, reset
from ..tls.stream import StreamError
from .pausing import wait
from .preface import STRANGER, Preface
from .proxy_header import HeaderError, looks_like_one
from .routes import Routes
from .silent_addresses import Doubt
from .stage import CLOSING, HANDSHAKE, LOST, OPEN, PREFACE
from .table import ConnectionTable


class ClientConnection(asyncio.Protocol):
    """The protocol of one accepted socket, and the `Client` of its application. Nothing in it raises into the loop."""

    __slots__ = (
        "_doubt",
        "_end_told",
        "_ends",
        "_heard",
        "_preface",
        "_routes",
        "_service",
        "_spoke",
        "_stage",
        "_stream",
        "_table",
        "_unsent",
        "application",
        "deadline",
        "transport",
    )

    def __init__(self, routes: Routes, table: ConnectionTable) -> None:
        service = routes.default
        self._routes = routes
        self._service = service
        self._table = table
        self._stage = HANDSHAKE if routes.only is service and not routes.proxies else PREFACE
        self._ends: tuple[Endpoint, Endpoint] | None = None
        self._spoke = False
        self._end_told = False
        self._unsent = 0
        self._heard = False
        self._doubt: Doubt | None = None  # whether it is a client's; what it makes is withheld meanwhile
        self.application: Application | None = None
        self.deadline = table.now + table.interval_s + service.handshake_timeout_s  # as table.after(), without a call

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # the loop passes nothing else
        table = self._table
        if table.admit(self):
            host = host_of(self.transport)
            self._doubt = table.silent.doubt(host)
            if self._stage is HANDSHAKE:
                self._stream = self._service.make_stream(table.scratch)
            else:
                self._preface = Preface(self._routes, host)
        else:
            self._stage = LOST
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Go on with the handshake, or hand the application what came."""
        try:
            if self._stage is OPEN:
                self._deliver(self._stream.receive(data))
            elif self._stage is HANDSHAKE:
                self._handshake(data)
            elif self._stage is PREFACE:
                self._read_preface(data)
        except StreamError as error:
            stranger = self._stage is HANDSHAKE and looks_like_one(data)
            self._refuse(STRANGER if stranger else f"tls: {error}")
        except HeaderError as error:
            self._table.faults.count(str(error))
            self.transport.abort()
        except Exception as error:  # noqa: BLE001  # whatever it is, it may cost this connection and no other
            self._table.faults.bug("receiving", error)
            self.transport.abort()

    def eof_received(self) -> bool:
        """The client has sent its FIN: after close_notify it may still wait for bytes, without it was cut short."""
        if self._stage is OPEN and self._stream.ended:
            return True
        if self._stage is OPEN:
            self._broke_off("no close_notify")
            self._finish()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Free everything. The session outlives the connection, however it ended."""
        if self._stage is LOST:
            return  # it never was admitted
        if error is not None:
            self._broke_off("connection reset")
        if self._stage is HANDSHAKE and self._spoke:
            self._service.mesh.handshake_failed(self._service.vip)
        begun = self._stage is not PREFACE
        self._stage = LOST
        self._table.remove(self)
        self._release()
        if begun:
            if self._doubt is not None:
                self._doubt.confirmed(self._service, self._stream)
            self._stream.free()

    def pause_writing(self) -> None:
        """The client isn't reading."""
        self._unsent = self.transport.get_write_buffer_size()
        if self.application is not None:
            self.application.stalled()

    def resume_writing(self) -> None:
        """The client reads again."""
        if self.application is not None:
            self.touch()
            self.application.flowing()

    # What the table calls.

    @property
    def shaking_hands(self) -> bool:
        """Whether the client has said something and the handshake isn't over."""
        return self._stage is HANDSHAKE and self._spoke

    def expired(self) -> None:
        """The deadline has passed. A client that slowly takes what waits for it isn't idle."""
        unsent = self.transport.get_write_buffer_size()
        if unsent and unsent != self._unsent and self._stage not in (HANDSHAKE, PREFACE):
            self._unsent = unsent
            self.touch()
        elif self._stage is OPEN:
            self._count("idle timeout")
            self._believe()
            self.close()
        elif self._stage in (HANDSHAKE, PREFACE):
            self._count("handshake timeout")
            self.transport.abort()
        else:
            (self.transport.abort if unsent else self.transport.close)()

    def rest(self) -> None:
        """Keep no more memory than an idle client needs, if nothing happened since this was called before."""
        if self._stage is OPEN and self not in self._table.held and self._stream.slim(self.deadline):
            self._believe()  # a check doesn't stay for so long

    def drain(self) -> None:
        """End as soon as nothing is in flight; a handshake that has begun is."""
        if self.application is not None:
            self.application.drain()
        elif self._stage is OPEN:
            self.close()  # nothing was asked yet
        elif self._stage in (HANDSHAKE, PREFACE) and not self._spoke:
            self.transport.close()

    def close_now(self) -> None:
        """Say close_notify and close."""
        if self._stage is OPEN:
            self._count("cut off by drain_s")
            self._finish()
        else:
            self.transport.close()

    def abort_now(self) -> None:
        """Reset."""
        self.transport.abort()

    # What the application calls (see `application.Client`).

    @property
    def tls(self) -> SSL.Connection:
        """The TLS connection, to ask about."""
        return self._stream.connection

    def endpoint(self, which: str) -> tuple[str, int] | None:
        """Return address and port of ``peername`` or ``sockname``; None if the client is gone already.

        Behind a balancer they are what its PROXY header says.
        """
        if self._ends is not None:
            return self._ends[which == "sockname"]
        name = self.transport.get_extra_info(which)
        return name[:2] if name else None

    def send(self, plain: bytes) -> None:
        """Encrypt and send."""
        if self._stage is OPEN and not self._stream.closed:
            self._table.held.pop(self, None)  # what was held goes first
            if self._doubt is not None:
                self._doubt.note_answer()
            try:
                self.transport.write(self._stream.send(plain))
            except StreamError as error:
                self._refuse(f"tls: {error}")

    def send_end(self) -> None:
        """Send close_notify and FIN."""
        if self._stage is OPEN and not self._stream.closed:
            self._say_last()
            end_writing(self.transport)

    def close(self) -> None:
        """Send what waits, close_notify and FIN, then wait a little for the client to do the same."""
        if self._stage is not OPEN:
            return
        if self._doubt is not None and self._doubt.answered:
            self._believe()
        if self._stream.ended:
            self._finish()
            return
        self.send_end()
        self._linger()

    def abort(self, kind: str, backend: str = "") -> None:
        """Reset the connection."""
        if self._stage is not LOST:
            self._count(kind, backend)
            reset(self.transport)

    def fault(self, kind: str, backend: str = "") -> None:
        """Count a fault."""
        self._count(kind, backend)

    def pause(self) -> None:
        """Stop reading."""
        if self._stage is OPEN:
            self.transport.pause_reading()

    def resume(self) -> None:
        """Go on reading."""
        if self._stage is OPEN:
            self.transport.resume_reading()
            self._table.held.again(self)  # what waits in its socket may be read after the timer's next look

    def acknowledge_early(self) -> None:
        """Turn delayed acknowledgements off for what comes next; TCP turns them on again by itself."""
        acknowledge_early(self.transport)

    def touch(self) -> None:
        """Put the idle timeout off."""
        self.deadline = self._table.after(self._service.idle_timeout_s)

    # Steps.

    def _read_preface(self, data: bytes) -> None:
        """Find out whom the connection is for, and let TLS begin."""
        opening = self._preface.receive(data)
        if opening is None:
            return
        service = opening.service
        self.deadline += service.handshake_timeout_s - self._service.handshake_timeout_s  # from accept on, as it was
        self._service, self._ends = service, opening.ends
        self._stream = (service.make_stream_apart if opening.local else service.make_stream)(self._table.scratch)
        self._stage = HANDSHAKE
        if opening.received:
            self._handshake(opening.received)

    def _handshake(self, data: bytes) -> None:
        self._spoke = True
        stream, doubt = self._stream, self._doubt
        over = stream.handshake(data) if doubt is None else doubt.handshake(self._service, stream, data)
        if over and stream.leaves_tickets:
            self._table.held.hold(self)
        elif answer := stream.outgoing():
            self.transport.write(answer)
        if over:
            self._service.handshake_done(stream.handle)
            self._open(b"")
        elif stream.paused:
            wait(self, self._service, stream)

    def let_go(self) -> bool:
        """Send the tickets that were held back. While nothing is read nobody knows whether the client speaks."""
        if self._stage is OPEN and not self._stream.closed:
            if not self.transport.is_reading():
                return False
            self._reply()
            self._stream.slim()
        return True

    def _open(self, plain: bytes) -> None:
        service, table = self._service, self._table
        self._stage = OPEN
        self.deadline = table.now + table.interval_s + service.idle_timeout_s
        if service.starts_at_once:
            self._start()
        if table.draining:
            self.drain()
        self._deliver(plain + self._stream.receive(b""))

    def _start(self) -> Application:
        self.application = application = self._service.make_application(self)
        application.start()
        return application

    def _deliver(self, plain: bytes) -> None:
        """Hand over what was read, and send what TLS itself has to say to it (key updates)."""
        application = self.application
        if plain:
            self._heard = True
        if self._doubt is not None and (plain or self._stream.ended):
            self._believe()
        if plain:
            if application is None and self._stage is OPEN:
                application = self._start()
            if application is not None:
                application.receive(plain)
        if self._stream.ended and not self._end_told:
            self._end_told = True
            if application is not None:
                application.end()
            else:
                self.close()  # it went without a word
        if self in self._table.held:
            self._table.held.hold(self)
        elif self._stage is OPEN and not self._stream.closed:
            self._reply()

    def _believe(self) -> None:
        if self._doubt is not None:
            self._doubt.dispelled(self._service, self._stream)
            self._doubt = None

    def _broke_off(self, kind: str) -> None:
        """Count how the client ended. One that says nothing after its handshake is a check, its session nobody's."""
        if self._stage is not OPEN or self._heard or self._stream.ended:
            self._count(kind)
            return
        self._table.faults.count("ended right after the handshake", self._service.vip, told=False)
        self._doubt = self._table.silent.note(host_of(self.transport), self._table.now)

    def _count(self, kind: str, backend: str = "") -> None:
        vip = "" if self._stage is PREFACE else self._service.vip
        self._table.faults.count(kind, vip, backend, in_handshake=self.shaking_hands)

    def _reply(self) -> None:
        if replies := self._stream.outgoing():
            self.transport.write(replies)
            if self.transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
                self.abort("client asks and does not read")

    def _refuse(self, kind: str) -> None:
        """OpenSSL has given up on this client: send its alert and close."""
        self._count(kind)
        if self._stage is HANDSHAKE:
            self._service.mesh.handshake_failed(self._service.vip)
        if not self._stream.closed:
            self._say_last()
            end_writing(self.transport)
        self._linger()

    def _linger(self) -> None:
        """Discard what still comes, until the client closes or `LINGER_S` is over."""
        self._stage = CLOSING
        self._release()
        self.transport.resume_reading()
        self._unsent = self.transport.get_write_buffer_size()
        self.deadline = self._table.after(LINGER_S)

    def _finish(self) -> None:
        """Close at once, in order: the client has closed its side, or there is no time left."""
        if not self._stream.closed:
            self._say_last()
        self._stage = CLOSING
        self._release()
        self._unsent = 0
        self.deadline = self._table.now + self._table.interval_s + LINGER_S
        self.transport.close()

    def _say_last(self) -> None:
        """Send what OpenSSL has left to say: close_notify, or the alert of what went wrong."""
        self._table.held.pop(self, None)
        self._stream.close()
        if last := self._stream.outgoing():
            self.transport.write(last)

    def _release(self) -> None:
        """Part from the application, so that neither keeps the other alive."""
        application, self.application = self.application, None
        if application is not None:
            application.lost()
