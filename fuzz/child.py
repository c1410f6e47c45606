"""A `TlsVictim` in a process of its own, so that a crash of OpenSSL's is seen as one: ``python -m fuzz.child``.

Says the DER of each scene, one a line in hex; then answers each line ``NUMBER HEX`` with what came of it.
"""

from __future__ import annotations

import sys

from fuzz.victims import TlsVictim


def main() -> None:
    victim = TlsVictim()
    print(*(der.hex() for der in victim.ders), flush=True)  # noqa: T201
    for line in sys.stdin:
        number, _, der = line.partition(" ")
        print(victim.offer(int(number), bytes.fromhex(der)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
