"""Everything that is counted as dropped, each with an operator's words for it. `docs/protocol.md` has the same table.

A drop is never an error of the program: a message not taken, a session not sent, a hint not followed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Drop(StrEnum):
    """Why something was dropped: ``value`` is the word under which it is counted, ``words`` say it to an operator."""

    words: str

    def __new__(cls, value: str, words: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.words = words
        return member

    TOO_LONG = "too_long", "a message longer than any of this version"
    TOO_MANY = "too_many", "a message with more arrays and maps than any of this version"
    NOT_CBOR = "not_cbor", "bytes that are no CBOR"
    TRAILING_BYTES = "trailing_bytes", "a message with bytes after its end"
    BAD_ENVELOPE = "bad_envelope", "a message without a kind, a sender and an incarnation"
    BAD_FIELD = "bad_field", "a message with a field that can't be what it says"
    UNKNOWN_KIND = "unknown_kind", "a kind of message that this version doesn't know"

    FLOOD = "flood", "more messages on one connection than any member sends"
    CONNECTION_NAME = "connection_name", "a second sender's name on one connection"
    UNKNOWN_SENDER = "unknown_sender", "a message of a node that hasn't said hello"
    OLD_INCARNATION = "old_incarnation", "a message of an earlier life of its sender"

    OLD_TERMS = "old_terms", "a hello that was under way while its sender's terms changed and the link ended"

    OTHER_MESH = "other_mesh", "a hello of another mesh"
    OTHER_VERSION = "other_version", "a hello of a version that can't talk with this one"
    NAME_TAKEN = "name_taken", "a hello under this node's own name"
    COLO_CHANGED = "colo_changed", "a hello with another colo than its sender had"
    OURSELVES = "ourselves", "this node's own hello, which came back"
    PEERS_FULL = "peers_full", "a hello beyond the number of peers that this node keeps"
    REFUSED_BY_PEER = "refused_by_peer", "a peer's answer that it doesn't take this node"
    TOO_HEAVY = "too_heavy", "records of nodes that take more memory than all may take together"
    ROSTER_FULL = "roster_full", "records of nodes beyond the number that this node keeps"

    FORGED_ORIGIN = "forged_origin", "sessions that their sender may not give in their origin's name"
    FORGED_TERMS = "forged_terms", "sessions under terms that a living origin doesn't state"
    UNASKED_FILL = "unasked_fill", "an answer to a fetch that nobody made"
    UNASKED_PULL = "unasked_pull", "an answer to a fetch for a handshake that nobody made, or not of its sender"
    FOREIGN_PULL = "foreign_pull", "an answer to a fetch for a handshake that holds something else"
    POISONED_PULL = "poisoned_pull", "an answer to a fetch for a handshake that OpenSSL can't use"
    PULL_REFUSED = "pull_refused", "no session: its asker may not have it, or asks for a VIP that it doesn't serve"
    PULL_RATE = "pull_rate", "no session: its asker, or all askers together, ask faster than this node answers"
    BAD_PAGE = "bad_page", "a page of a roster that doesn't fit the others"

    ORIGIN_QUOTA = "origin_quota", "sessions beyond what one origin may push; fetched later"
    IN_DOUBT = (
        "in_doubt",
        "sessions that came late: a withdraw may be about them, or they may be over; fetched with their true age",
    )
    FAR_BEYOND = "far_beyond", "sessions that others give, with numbers far beyond what their living origin has made"
    REFUSED = "refused", "sessions that the gates refuse, of a VIP that isn't served here"

    STREAMS_FULL = "streams_full", "sessions of more streams than this node remembers"
    GAPS_FULL = "gaps_full", "gaps beyond the number that this node works on at a time"
    CANDIDATES_FULL = "candidates_full", "addresses beyond the number that this node tries"
    WITHDRAWS_FULL = "withdraws_full", "no withdraw: there was no room for one more, so everything was withdrawn"
    WITHDRAW_REFUSED = "withdraw_refused", "a withdraw that its sender may not pass on"
    CONSUMED_REFUSED = "consumed_refused", "ids that a peer says were used up and that it can't have had"
    CONSUMED_UNTOLD = (
        "consumed_untold",
        "used-up ids that a peer isn't told of, so that it may take those sessions once more",
    )
    LIVE_FULL = "live_full", "live policy values beyond the number that this node keeps"
    LIVE_RATE = "live_rate", "live policy values faster than operators set them"
    LIVE_JUMP = "live_jump", "nothing: the number of a live policy far beyond all others, which was cut"
    TICKET_KEY_FOREIGN = (
        "ticket_key_foreign",
        "ticket keys of a ring that this node or their sender isn't in, or of two",
    )
    TICKET_KEY_WEAK = "ticket_key_weak", "ticket keys that could be guessed"
    TICKET_KEY_OLD = "ticket_key_old", "ticket keys that are over, were wiped, or were made before a withdraw"
    TICKET_KEY_JUMP = "ticket_key_jump", "ticket keys with a number far beyond all others, or other times than can be"
    TICKET_KEYS_FULL = "ticket_keys_full", "ticket keys beyond the number that this node keeps of one ring"
    TICKET_KEY_RATE = "ticket_key_rate", "ticket keys faster than any mesh makes them"
    ASK_RATE = "ask_rate", "questions faster than operators ask them"

    OUTBOX_FULL = "outbox_full", "sessions that waited to be pushed when too many did"
    QUEUE_FULL = "queue_full", "messages that waited for a peer when too many did"
    NOT_SENT = "not_sent", "messages that the transport had no room or no link for"
    PEER_BLOCKED = "peer_blocked", "pushes to a peer that couldn't take the last one"
    RECALLED_UNSENT = "recalled_unsent", "messages with sessions that waited when a policy took them back"

    GAP_GIVEN_UP = "gap_given_up", "a gap that nobody asked could fill"
    BAD_ADDRESS = "bad_address", "a hint that is no address"
