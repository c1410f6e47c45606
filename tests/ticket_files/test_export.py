"""One export by fake time: what its server has after each change of the mesh's keys, and after each failure."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshcache.errors import MeshcacheError
from meshcache.ticket_files.export import RETRY_S_MAX, SETTLING_S_MAX, Export, Keys
from meshcache.ticket_files.layouts import Rendered, ServerKey

SETTLE_S = 10.0


@dataclass
class Server:
    """What was written and told, by names; fails where it is told to."""

    had: list[tuple[str, ...]] = field(default_factory=list)
    tidied: int = 0
    written: int = 0
    fault: str = ""

    def write(self, rendered: Rendered) -> None:
        self.written += 1

    def tell(self, rendered: Rendered) -> None:
        if self.fault:
            raise MeshcacheError(self.fault)
        self.had.append(tuple(key.key.decode() for key in rendered.keys))

    def tidy(self, rendered: Rendered) -> None:
        self.tidied += 1


def key(name: str) -> ServerKey:
    return ServerKey(name.encode(), name.encode() * 16, b"m" * 32, b"a" * 32)


def keys(*names: str, encrypts: str = "") -> Keys:
    """The highest first; the first encrypts unless another is said to."""
    each = {name: key(name) for name in names}
    return Keys(each.get(encrypts or (names[0] if names else "")), tuple(each.values()))


def export(server: Server) -> Export:
    return Export("shop", "nginx", "/run/shop", SETTLE_S, server)


def test_nothing_is_written_before_there_is_a_key() -> None:
    server = Server()
    made = export(server)
    assert made.step(Keys(), 0.0)[1] == float("inf")
    assert (made.shown(0.0)["state"], made.begun, server.written) == ("waiting", False, 0)
    outcome, due_at = made.step(keys("1"), 1.0)
    assert outcome.written is not None
    assert (server.had, due_at, made.begun) == ([("1",)], float("inf"), True)


def test_a_ring_that_is_choosing_its_key_is_waited_for_a_moment() -> None:
    server = Server()
    made = export(server)
    undecided = Keys(None, (key("1"),))
    assert made.step(undecided, 0.0)[1] == SETTLING_S_MAX
    assert not server.written
    made.step(undecided, SETTLING_S_MAX)
    assert server.had == [("", "1")], "what encrypts is nobody's, and the ring's opens"


def test_the_next_key_opens_at_once_and_encrypts_when_others_have_read_it() -> None:
    server = Server()
    made = export(server)
    made.step(keys("1"), 0.0)
    made.step(keys("2", "1", encrypts="1"), 100.0)
    assert server.had[-1] == ("1", "2")
    _, due_at = made.step(keys("2", "1"), 101.0)
    assert (server.had[-1], due_at) == (("1", "2"), 101.0 + SETTLE_S)
    made.step(keys("2", "1"), due_at)
    assert server.had[-1] == ("2", "1")
    made.step(keys("2"), 9999.0)
    assert server.had[-1] == ("2",)
    assert len(server.had) == 4


def test_nothing_happens_while_nothing_changes() -> None:
    server = Server()
    made = export(server)
    for now in range(5):
        made.step(keys("1"), float(now))
    assert server.written == 1


def test_withdrawn_keys_go_at_once_and_the_next_is_used_at_once() -> None:
    server = Server()
    made = export(server)
    made.step(keys("1"), 0.0)
    made.step(Keys(), 5.0)
    assert server.had[-1] == ("",)
    made.step(keys("2"), 22.0)
    assert server.had[-1] == ("2",)


def test_of_two_keys_one_that_is_withdrawn_goes_at_once_though_none_encrypts() -> None:
    server = Server()
    made = export(server)
    made.step(keys("2", "1"), 0.0)
    made.step(Keys(None, (key("1"),)), 5.0)
    assert server.had[-1] == ("", "1")


def test_a_policy_that_is_tightened_takes_the_keys_back_also_after_a_restart() -> None:
    server = Server()
    made = export(server)
    made.step(keys("1"), 0.0)
    made.step(Keys(refused="its reach"), 5.0)
    assert server.had[-1] == ("",)
    assert made.shown(5.0) | {"state": "refused", "why": "its reach"} == made.shown(5.0)
    again = Server()
    export(again).step(Keys(refused="its reach"), 0.0)
    assert again.had == [("",)], "what an earlier life left is taken back as well"


def test_failures_are_counted_and_tried_again_ever_later() -> None:
    server = Server(fault="exit status 1")
    made = export(server)
    now, tries = 0.0, []
    for _ in range(10):
        outcome, due_at = made.step(keys("1"), now)
        assert outcome.fault == "exit status 1"
        assert made.step(keys("1"), due_at - 0.01)[0].fault == "", "not before its time"
        tries.append(due_at - now)
        now = due_at
    assert tries[:3] == [1.0, 2.0, 4.0]
    assert tries[-1] == RETRY_S_MAX
    shown = made.shown(now)
    assert (shown["state"], shown["failed"], shown["written"], shown["stale_s"]) == ("failing", 10, 0, now)
    assert made.begun
    server.fault = ""
    outcome, _ = made.step(keys("1"), now)
    assert outcome.mended
    assert made.shown(now)["state"] == "ok"


def test_a_change_is_tried_at_once_whatever_failed_before() -> None:
    server = Server(fault="exit status 1")
    made = export(server)
    made.step(keys("1"), 0.0)
    server.fault = ""
    made.step(Keys(), 0.1)
    assert server.had == [("",)], "withdrawn while the first try had failed: the file has that key"


def test_what_was_written_in_vain_is_never_taken_for_what_the_server_has() -> None:
    server = Server()
    made = export(server)
    made.step(keys("1"), 0.0)
    server.fault = "exit status 1"
    made.step(keys("2", "1", encrypts="1"), 5.0)
    server.fault = ""
    outcome, _ = made.step(keys("1"), 6.0)
    assert outcome.written is not None, "the files have the second key, though the server was never told"
    assert server.tidied == 2, "and what it may still read was kept until then"
