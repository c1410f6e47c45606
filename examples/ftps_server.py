"""An FTPS server that demands of each data connection to come from whoever holds the control connection.

    python examples/ftps_server.py meshcache.toml 127.0.0.1:2121 [node.name=edge-2 …]

FTP tells a client a port, and whoever connects there first gets the file: what vsftpd's ``require_ssl_reuse`` prevents.
A data connection must resume a session of the control connection's lineage; nobody else has one. Give pyftpdlib's
`Handler` an authorizer of your own: this one lets anybody read and write the folder ``public`` where it is started.
Never give out the folder with keys in it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import TLS_DTPHandler, TLS_FTPHandler
from pyftpdlib.servers import FTPServer

from meshcache import MeshNode, load, split_address


class Data(TLS_DTPHandler):
    """A data connection. Nothing is sent or read before its handshake is over and was looked at."""

    def send(self, data: bytes) -> int:
        return 0 if self._ssl_accepting else super().send(data)  # OpenSSL would end the handshake in a write, too

    def handle_ssl_established(self) -> None:
        node = self.cmd_channel.node
        control, data = (node.resumption(each.socket).lineage for each in (self.cmd_channel, self))
        if control is None or control != data:
            self.cmd_channel.respond("522 The data connection must resume the control connection's session.")
            self.close()


class Handler(TLS_FTPHandler):
    """A control connection."""

    dtp_handler = Data
    tls_control_required = True
    tls_data_required = True
    node: MeshNode


def main(path: str, address: str, overrides: list[str]) -> None:
    settings = load(path, overrides)
    (shop,) = settings.vips
    Handler.certfile, Handler.keyfile = str(shop.certificate), str(shop.private_key)
    Handler.authorizer = DummyAuthorizer()
    Path("public").mkdir(exist_ok=True)
    Handler.authorizer.add_anonymous("public", perm="elradfmw")
    with MeshNode(settings) as Handler.node:
        Handler.node.attach(Handler.get_ssl_context(), vip="shop")
        server = FTPServer(split_address(address), Handler)
        print("ready", flush=True)
        server.serve_forever(handle_exit=False)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2], sys.argv[3:])
    except KeyboardInterrupt:
        print("stopped")
