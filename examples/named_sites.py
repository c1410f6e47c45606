"""An asyncio server of many sites, each with a certificate of its own, whose clients resume on every node of the mesh.

    python examples/named_sites.py meshcache.toml 127.0.0.1:8443 sites [node.name=edge-2 …]

The folder holds a PEM file for each site, its key and its chain, named as the site: a.example.pem, or _.b.example.pem
for *.b.example. On SIGHUP it is read again: sites come, go and get new certificates, and open connections go on. The
file needs one VIP, named "sites", with a certificate for whoever asks for no site that is here; no listen, no names.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from pathlib import Path

from meshcache import MeshcacheError, MeshNode, NamedContexts, Settings, load, split_address


def tls_context(certificate: Path | None, private_key: Path | None = None) -> ssl.SSLContext:
    """All sites' contexts are set up alike: a connection keeps its options and versions when its name is known."""
    assert certificate is not None, "the VIP needs a certificate"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, private_key)
    return context


def read(folder: Path, sites: NamedContexts) -> None:
    """Let the sites be those of the folder. One with a fault goes on with the certificate that it had."""
    found = {path.stem.replace("_", "*", 1): path for path in folder.glob("*.pem")}
    for name in set(sites.names()) - set(found):
        sites.remove(name)
    for name, path in found.items():
        try:
            sites.add(name, tls_context(path))
        except (OSError, MeshcacheError) as error:
            print(f"{path}: {error}", file=sys.stderr, flush=True)
    print("sites:", *sites.names(), flush=True)


async def serve(settings: Settings, address: str, folder: Path) -> None:
    (vip,) = settings.vips
    async with MeshNode(settings) as node:
        sites = node.attach_names(tls_context(vip.certificate, vip.private_key), {}, vip="sites")
        read(folder, sites)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, read, folder, sites)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            resumption = node.resumption(writer.get_extra_info("ssl_object"))
            writer.write(f"{resumption.server_name} {resumption.outcome.value} {resumption.origin}\n".encode())
            await writer.drain()
            writer.close()

        host, port = split_address(address)
        server = await asyncio.start_server(answer, host, port, ssl=sites.context)
        print("ready", flush=True)
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    path, address, folder, *overrides = sys.argv[1:]
    try:
        asyncio.run(serve(load(path, overrides), address, Path(folder)))
    except KeyboardInterrupt:
        print("stopped")
