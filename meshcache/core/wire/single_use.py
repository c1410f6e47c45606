"""The message of single use as a value, beside those in `messages`."""

from __future__ import annotations

from dataclasses import field

from meshcache.records import record

CONSUMED_IDS_MAX = 256
"""In one message: what a node resumes in a quarter of a second at 1,000/s; more go into further messages."""


@record
class Consumed:
    """Sessions of a share group that were used up: handshakes resumed with them, and they are good for no other.

    With ``relay`` the receiver, in another colo, tells those of its own colo, with the name of the ``teller``: they
    believe it as far as both might have had a session.
    """

    group: str
    ids: tuple[bytes, ...] = field(repr=False)
    relay: bool = False
    teller: str = ""
