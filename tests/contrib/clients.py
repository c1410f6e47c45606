"""Client programs that come back: each visits an address twice, in whatever protocol TLS carries there.

Behind the address is a `Balancer`, so the second visit meets another server. That it resumed is what the servers count;
where the program has a word on it, that is held to be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.material import HOST
from tests.support.programs import REQUEST, run


@dataclass(frozen=True)
class Protocol:
    """What programs have to know of a protocol to come back in it."""

    request: bytes = REQUEST.encode()
    """After it the server answers and closes."""

    starttls: str = ""
    """How OpenSSL and GnuTLS name it when TLS begins after some lines in plain text."""

    before_tls: Sequence[str] = ()
    """Those lines; the server speaks first."""

    curl: Sequence[str] = ("--http1.1", "--header", "Connection: close")
    url: str = "https://{host}:{port}/"
    curl_in: Sequence[str] = ("1.2", "1.3")
    """TLS versions in which Debian 12's curl comes back with this protocol."""


HTTP = Protocol()


def s_client(address: tuple[str, int], folder: Path, tls: str, protocol: Protocol) -> None:
    saved = folder / "s_client.pem"
    version = "-tls1_2" if tls == "1.2" else "-tls1_3"
    trust = ["-CAfile", str(folder / "ca.pem"), "-verify_return_error", "-servername", HOST]
    more = ["-starttls", protocol.starttls] if protocol.starttls else []
    command = ["openssl", "s_client", "-connect", "{}:{}".format(*address), version, *trust, *more, "-ign_eof"]
    for where, said in (("-sess_out", "\nNew, TLSv1"), ("-sess_in", "\nReused, TLSv1")):
        # It fails when a server closes without a close_notify, as half of Python's do.
        output = run([*command, where, str(saved)], protocol.request, may_fail=True)
        assert said in output, output


def gnutls(address: tuple[str, int], folder: Path, tls: str, protocol: Protocol) -> None:
    host, port = address
    options = ["--resume", "--waitresumption", "--sni-hostname", HOST, "--verify-hostname", HOST]
    options += ["--priority", f"NORMAL:-VERS-ALL:+VERS-TLS{tls}", "--x509cafile", str(folder / "ca.pem")]
    if protocol.starttls:
        options += ["--starttls-proto", protocol.starttls]
    output = run(["gnutls-cli", *options, "--port", str(port), host], protocol.request)
    assert "*** This is a resumed session" in output, output


def curl(address: tuple[str, int], folder: Path, tls: str, protocol: Protocol) -> None:
    host, port = address
    version = ["--tlsv1.2", "--tls-max", "1.2"] if tls == "1.2" else ["--tlsv1.3"]
    common = ["--silent", "--show-error", "--resolve", f"{HOST}:{port}:{host}", "--cacert", str(folder / "ca.pem")]
    each = [*common, *version, *protocol.curl, protocol.url.format(host=HOST, port=port)]
    # From another address it has to take another connection, where the protocol can't ask for one.
    run(["curl", *each, "--interface", "127.0.0.1", "--next", *each, "--interface", "127.0.0.2"])


def s_client_visit(port: int, name: str, trust: Path, tls: str, where: str, saved: Path) -> str:
    """What a server says to one line, with the session put into a file (``-sess_out``) or taken from one."""
    version = "-tls1_2" if tls == "1.2" else "-tls1_3"
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", version, "-CAfile", str(trust), "-quiet"]
    command += ["-verify_return_error", "-verify_hostname", name, "-servername", name, where, str(saved)]
    return run(command, b"which?\n", may_fail=True)


def curl_visits(port: int, name: str, trust: Path, tls: str) -> list[str]:
    """What a server that answers with one line says to two visits of one curl, over two connections."""
    version = ["--tlsv1.2", "--tls-max", "1.2"] if tls == "1.2" else ["--tlsv1.3"]
    each = ["--silent", "--http0.9", "--resolve", f"{name}:{port}:127.0.0.1", "--cacert", str(trust), *version]
    each.append(f"https://{name}:{port}/")
    return run(["curl", *each, "--next", *each], b"").splitlines()


_NODE = """
const tls = require('tls'), net = require('net'), fs = require('fs');
const [host, port, ca, version, servername, request, lines] = process.argv.slice(1);
const options = {ca: fs.readFileSync(ca), servername, minVersion: version, maxVersion: version};
function connect() {
  return new Promise((resolve, reject) => {
    const socket = net.connect({host, port: +port}), left = JSON.parse(lines);
    socket.on('error', reject);
    if (!left.length) { socket.on('connect', () => resolve(socket)); return; }
    let answer = '';
    socket.on('data', some => {
      answer += some;
      if (!/^\\d{3} [^\\n]*\\n$/m.test(answer)) return;  // the last line of an answer, SMTP's and FTP's
      answer = '';
      if (left.length) socket.write(left.shift() + '\\r\\n');
      else { socket.removeAllListeners('data'); resolve(socket); }
    });
  });
}
function visit(session) {
  return connect().then(plain => new Promise((resolve, reject) => {
    let kept = session, reused;
    const socket = tls.connect({socket: plain, session, ...options});
    socket.on('secureConnect', () => { reused = socket.isSessionReused(); socket.write(Buffer.from(request, 'hex')); });
    socket.on('session', fresh => { kept = fresh; });
    socket.on('data', () => {});
    socket.on('error', reject);
    socket.on('close', () => resolve({kept, reused}));
  }));
}
visit().then(first => visit(first.kept).then(second => console.log('reused=' + second.reused)))
  .catch(error => { console.error(error); process.exit(1); });
"""


def node(address: tuple[str, int], folder: Path, tls: str, protocol: Protocol) -> None:
    host, port = address
    lines = "[" + ",".join(f'"{line}"' for line in protocol.before_tls) + "]"
    trust = str(folder / "ca.pem")
    said = run(["node", "-e", _NODE, host, str(port), trust, f"TLSv{tls}", HOST, protocol.request.hex(), lines])
    assert said == "reused=true\n"


CLIENTS: dict[str, Callable[[tuple[str, int], Path, str, Protocol], None]] = {
    "openssl": s_client,
    "node": node,
    "curl": curl,
    "gnutls-cli": gnutls,
}
