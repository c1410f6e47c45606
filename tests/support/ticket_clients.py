"""More client programs that come back, for tickets: Go, NSS (which is Firefox's) and Java; as `programs.CLIENTS` are.

`make test` installs NSS's tools. Go and Java are large, so they run where they are.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.material import HOST
from tests.support.programs import CLIENTS, REQUEST, Pair, run

GO = """
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
)

func visit(config *tls.Config) {
	connection, err := tls.Dial("tcp", os.Args[1], config)
	if err != nil {
		panic(err)
	}
	fmt.Fprint(connection, os.Args[5])
	answer, _ := io.ReadAll(connection)
	fmt.Printf("%s\\nreused=%v\\n", answer, connection.ConnectionState().DidResume)
	connection.Close()
}

func main() {
	pem, _ := os.ReadFile(os.Args[2])
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	version := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[os.Args[3]]
	config := &tls.Config{RootCAs: roots, ServerName: os.Args[4], MinVersion: version, MaxVersion: version,
		ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	visit(config)
	visit(config)
}
"""

JAVA = """
import java.io.*;
import java.net.*;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.*;
import javax.net.ssl.*;

public class Visits {
    public static void main(String[] args) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream pem = new FileInputStream(args[2])) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        for (int visit = 0; visit < 2; visit++) {
            SSLSocketFactory sockets = context.getSocketFactory();
            try (SSLSocket socket = (SSLSocket) sockets.createSocket(args[0], Integer.parseInt(args[1]))) {
                SSLParameters parameters = socket.getSSLParameters();
                parameters.setProtocols(new String[] {"TLSv" + args[3]});
                parameters.setServerNames(List.of(new SNIHostName(args[4])));
                socket.setSSLParameters(parameters);
                socket.getOutputStream().write(args[5].getBytes(StandardCharsets.US_ASCII));
                System.out.write(socket.getInputStream().readAllBytes());
                System.out.println();
            }
        }
        System.out.flush();
    }
}
"""


def go(address: tuple[str, int], folder: Path, tls: str) -> Pair:
    program = _built(folder, "visits.go", GO, ["go", "build", "-o", str(folder / "visits"), str(folder / "visits.go")])
    where = "{}:{}".format(*address)
    output = run([str(program.with_suffix("")), where, str(folder / "ca.pem"), tls, HOST, REQUEST])
    return _pair(output, resumed=re.findall(r"reused=(\w+)", output)[-1] == "true")


def java(address: tuple[str, int], folder: Path, tls: str) -> Pair:
    _built(folder, "Visits.java", JAVA, ["javac", "-d", str(folder), str(folder / "Visits.java")])
    host, port = address
    output = run(
        [
            "java",
            "-Xshare:auto",
            "-cp",
            str(folder),
            "Visits",
            host,
            str(port),
            str(folder / "ca.pem"),
            tls,
            HOST,
            REQUEST,
        ]
    )
    return _pair(output, resumed=None)


def nss(address: tuple[str, int], folder: Path, tls: str) -> Pair:
    """NSS's own client; with ``-u`` it asks for tickets, as Firefox does."""
    database = folder / "nss"
    if not database.exists():
        database.mkdir()
        run(["certutil", "-N", "-d", f"sql:{database}", "--empty-password"])
        run(["certutil", "-A", "-d", f"sql:{database}", "-n", "ca", "-t", "C,,", "-i", str(folder / "ca.pem")])
    host, port = address
    asked = folder / "nss.request"
    asked.write_text(REQUEST)
    command = ["tstclnt", "-h", host, "-p", str(port), "-d", f"sql:{database}", "-a", HOST, "-u", "-L", "2"]
    output = run([*command, "-V", f"tls{tls}:tls{tls}", "-A", str(asked)])
    return _pair(output, resumed=None)


def _built(folder: Path, name: str, source: str, command: list[str]) -> Path:
    file = folder / name
    if not file.exists():
        file.write_text(source)
        env = {"HOME": str(folder), "GO111MODULE": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
        run(["env", *(f"{key}={value}" for key, value in env.items()), f"PATH={os.environ['PATH']}", *command])
    return file


def _pair(output: str, *, resumed: bool | None) -> Pair:
    bodies: list[dict[str, Any]] = [json.loads(text) for text in re.findall(r'\{"server".*?\}', output)]
    assert len(bodies) == 2, output[-2000:]
    return Pair(bodies[0], bodies[1], resumed)


def _there(*programs: str) -> bool:
    return all(map(shutil.which, programs))


TICKET_CLIENTS: dict[str, Callable[[tuple[str, int], Path, str], Pair]] = CLIENTS | {"nss": nss}
LARGE = {"go": (go, _there("go")), "java": (java, _there("java", "javac"))}
