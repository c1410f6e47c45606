"""An asyncio server on Python's own ssl whose clients resume on every node of the mesh.

    python examples/asyncio_ssl.py meshcache.toml 127.0.0.1:8443 [node.name=edge-2 …]

The file needs one VIP, named "shop", with certificate and private_key, and no listen: this program listens.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

from meshcache import MeshNode, Settings, load, split_address


def tls_context(settings: Settings) -> ssl.SSLContext:
    (shop,) = settings.vips
    assert shop.certificate is not None, "the VIP needs a certificate"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(shop.certificate, shop.private_key)
    return context


async def serve(settings: Settings, address: str) -> None:
    async with MeshNode(settings) as node:
        # Complete the context first: what sharing depends on is read from it here.
        context = node.attach(tls_context(settings), vip="shop")

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("ssl_object")
            node.handshake_done("shop", connection)
            await reader.readline()
            resumption = node.resumption(connection)
            writer.write(f"{resumption.outcome.value} {resumption.origin}\n".encode())
            await writer.drain()
            writer.close()

        host, port = split_address(address)
        server = await asyncio.start_server(answer, host, port, ssl=context)
        print("ready", flush=True)
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    path, address, *overrides = sys.argv[1:]
    try:
        asyncio.run(serve(load(path, overrides), address))
    except KeyboardInterrupt:
        print("stopped")
