"""Client programs that come back: each visits one address twice, and tells what the server said and what it saw itself.

Behind the address is a `Balancer`, so the second visit meets another server.
"""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.material import HOST
from tests.support.sockets import connect

PROGRAM_S_MAX = 60.0

REQUEST = f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two visits: the responder's JSON of each, and whether the client says that the second one resumed.

    curl has no word on that, so there it is None.
    """

    first: dict[str, Any]
    second: dict[str, Any]
    resumed: bool | None


def openssl(address: tuple[str, int], folder: Path, tls: str) -> Pair:
    saved = folder / "s_client.pem"
    first, _ = s_client(address, folder, tls, "-sess_out", str(saved))
    second, resumed = s_client(address, folder, tls, "-sess_in", str(saved))
    return Pair(first, second, resumed)


def s_client(address: tuple[str, int], folder: Path, tls: str, *more: str) -> tuple[dict[str, Any], bool]:
    """One visit: the responder's JSON, and whether s_client says that it resumed."""
    version = "-tls1_2" if tls == "1.2" else "-tls1_3"
    trust = ["-CAfile", str(folder / "ca.pem"), "-verify_return_error", "-servername", HOST]
    output = run(["openssl", "s_client", "-connect", _join(address), version, *trust, "-ign_eof", *more], REQUEST)
    return _bodies(output)[0], bool(re.search(r"^Reused, TLSv", output, re.MULTILINE))


def python(address: tuple[str, int], folder: Path, tls: str) -> Pair:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    version = ssl.TLSVersion.TLSv1_2 if tls == "1.2" else ssl.TLSVersion.TLSv1_3
    context.minimum_version = context.maximum_version = version
    first, session, _ = python_visit(address, context)
    second, _, resumed = python_visit(address, context, session)
    return Pair(first, second, resumed)


def python_visit(
    address: tuple[str, int], context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[dict[str, Any], ssl.SSLSession | None, bool]:
    """One visit: the responder's JSON, the session afterwards, and whether the visit resumed `session`."""
    with (
        connect(address, PROGRAM_S_MAX) as plain,
        context.wrap_socket(plain, server_hostname=HOST, session=session) as tls,
    ):
        tls.sendall(REQUEST.encode())
        answer = b""
        while more := tls.recv(65_536):
            answer += more
        return _bodies(answer.decode())[0], tls.session, bool(tls.session_reused)


def curl(address: tuple[str, int], folder: Path, tls: str) -> Pair:
    host, port = address
    version = ["--tlsv1.2", "--tls-max", "1.2"] if tls == "1.2" else ["--tlsv1.3"]
    common = ["--silent", "--show-error", "--resolve", f"{HOST}:{port}:{host}", "--cacert", str(folder / "ca.pem")]
    each = [*common, *version, "--header", "Connection: close", f"https://{HOST}:{port}/"]
    first, second = _bodies(run(["curl", *each, "--next", *each]))
    return Pair(first, second, None)


_NODE = """
const tls = require('tls'), fs = require('fs');
const [host, port, ca, version, name, request] = process.argv.slice(1);
function visit(session) {
  return new Promise((resolve, reject) => {
    let answer = '', kept = session, reused;
    const socket = tls.connect({host, port: +port, ca: fs.readFileSync(ca), servername: name, session,
                                minVersion: version, maxVersion: version});
    socket.on('secureConnect', () => { reused = socket.isSessionReused(); socket.write(request); });
    socket.on('session', fresh => { kept = fresh; });
    socket.on('data', some => { answer += some; });
    socket.on('error', reject);
    socket.on('close', () => resolve({answer, kept, reused}));
  });
}
visit().then(first => visit(first.kept).then(second => {
  console.log(first.answer + '\\n' + second.answer + '\\nreused=' + second.reused);
})).catch(error => { console.error(error); process.exit(1); });
"""


def node(address: tuple[str, int], folder: Path, tls: str) -> Pair:
    host, port = address
    output = run(["node", "-e", _NODE, host, str(port), str(folder / "ca.pem"), f"TLSv{tls}", HOST, REQUEST])
    first, second = _bodies(output)
    return Pair(first, second, "reused=true" in output)


def gnutls(address: tuple[str, int], folder: Path, tls: str) -> Pair:
    """gnutls-cli asks nothing before it comes back, so the first visit has no answer to show."""
    host, port = address
    priority = f"NORMAL:-VERS-ALL:+VERS-TLS{tls}"
    options = [
        "--resume",
        "--waitresumption",
        "--sni-hostname",
        HOST,
        "--verify-hostname",
        HOST,
        "--priority",
        priority,
    ]
    output = run(["gnutls-cli", *options, "--x509cafile", str(folder / "ca.pem"), "--port", str(port), host], REQUEST)
    return Pair({}, _bodies(output)[0], "*** This is a resumed session" in output)


CLIENTS = {"openssl": openssl, "python": python, "curl": curl, "node": node, "gnutls-cli": gnutls}


def run(command: Sequence[str], stdin: str | bytes = "", *, may_fail: bool = False) -> str:
    """The program's standard output; fails the test with all it wrote when it is missing or, but `may_fail`, fails."""
    assert shutil.which(command[0]), f"{command[0]} is missing: `make test` installs it"
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(command, input=given, capture_output=True, timeout=PROGRAM_S_MAX, check=False)
    output = done.stdout.decode(errors="replace")
    assert may_fail or done.returncode == 0, (
        f"{command[0]} ended with {done.returncode}:\n{output}\n{done.stderr.decode()}"
    )
    return output


def _bodies(output: str) -> list[dict[str, Any]]:
    found = [json.loads(text) for text in re.findall(r'\{"server".*?\}', output)]
    assert found, f"no answer of the responder in:\n{output[-2000:]}"
    return found


def _join(address: tuple[str, int]) -> str:
    return "{}:{}".format(*address)
