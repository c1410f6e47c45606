"""Coverage-guided fuzzing with atheris: ``python -m fuzz messages|der|hello [libFuzzer's options]``; see ``make fuzz``.

libFuzzer ends with "Done N runs": the number of inputs. What it found lies in ``fuzz/found``, one file each, and is
played again by naming it as the last argument.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["meshcache"]):
    from fuzz.victims import CoreVictim, HelloVictim, TlsVictim, seeds

FOUND = Path(__file__).parent / "found"


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] not in TARGETS:
        sys.exit("usage: python -m fuzz messages|der|hello [libFuzzer's options]")
    FOUND.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mc-fuzz-") as corpus:
        target = TARGETS[arguments[0]](Path(corpus))
        options = ["-max_len=4096", "-timeout=5", "-rss_limit_mb=1024", f"-artifact_prefix={FOUND}/"]
        atheris.Setup([sys.argv[0], *options, *arguments[1:], corpus], target)
        atheris.Fuzz()


def _messages(corpus: Path) -> object:
    for name, payload in seeds().items():
        (corpus / name).write_bytes(payload)
    return CoreVictim().take


def _der(corpus: Path) -> object:
    """The first byte says which scene: TLS 1.2 or 1.3, with a client certificate or without."""
    victim = TlsVictim()
    for number, der in enumerate(victim.ders):
        (corpus / str(number)).write_bytes(bytes([number]) + der)

    def offer(data: bytes) -> None:
        if data:
            victim.offer(data[0], data[1:])

    return offer


def _hello(corpus: Path) -> object:
    """Both hot paths hear the same ClientHello; the first byte says which server."""
    victim = HelloVictim()
    for number, hello in enumerate(victim.hellos):
        (corpus / str(number)).write_bytes(bytes([number]) + hello)

    def say(data: bytes) -> None:
        if data:
            victim.say(data[0], data[1:])

    return say


TARGETS = {"messages": _messages, "der": _der, "hello": _hello}

if __name__ == "__main__":
    main(sys.argv[1:])
