import errno
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import pytest
import zeroconf

from meshcache.core.values.topology import PROTOCOL_MAJOR
from meshcache.edges import discovery as module
from meshcache.edges.discovery import SERVICE_TYPE, Announcement, AskSchedule, MdnsDiscovery, mesh_hash, ports_in
from meshcache.edges.own_addresses import OwnAddress, present
from tests.support.waiting import wait_until

HERE = ["127.0.0.1"]
KEY, OTHER_KEY = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"


def announcement(port: int, mesh: str = "test", keys: Sequence[str] = (KEY,)) -> Announcement:
    return Announcement([f"127.0.0.1:{port}"], mesh, keys)


class Speaker:
    def __init__(self, made: Announcement, interfaces: Sequence[str] = HERE) -> None:
        self.found: list[str] = []
        self.threads: set[str] = set()
        self.discovery = MdnsDiscovery(made, interfaces, self._noticed)
        self.discovery.start()

    def _noticed(self, address: str) -> None:
        self.found.append(address)
        self.threads.add(threading.current_thread().name)


Speak = Callable[..., Speaker]


@pytest.fixture
def speak() -> Iterator[Speak]:
    speakers: list[Speaker] = []

    def start(*arguments: object, **more: object) -> Speaker:
        speakers.append(Speaker(*arguments, **more))  # type: ignore[arg-type]
        return speakers[-1]

    yield start
    for speaker in speakers:
        speaker.discovery.close()


def test_two_nodes_of_one_mesh_find_each_other(speak: Speak) -> None:
    one, other = speak(announcement(1111, mesh="two")), speak(announcement(2222, mesh="two"))
    wait_until(lambda: "127.0.0.1:2222" in one.found, what="this machine's loopback interface carries no multicast?")
    wait_until(lambda: "127.0.0.1:1111" in other.found)
    assert "127.0.0.1:1111" not in one.found


def test_who_comes_later_is_found_too(speak: Speak) -> None:
    one, other = speak(announcement(1111)), speak(announcement(2222))
    wait_until(lambda: one.found and other.found)
    late = speak(announcement(3333))
    wait_until(lambda: "127.0.0.1:3333" in one.found and "127.0.0.1:3333" in other.found)
    wait_until(lambda: {"127.0.0.1:1111", "127.0.0.1:2222"} <= set(late.found))


def test_another_mesh_or_another_key_on_the_same_link_is_left_alone(speak: Speak) -> None:
    mine = partial(announcement, mesh="left alone")  # tests of the other mesh may run beside this one
    strangers = [speak(announcement(4444, mesh="other")), speak(mine(5555, keys=[OTHER_KEY]))]
    one, other = speak(mine(1111)), speak(mine(2222))
    wait_until(lambda: one.found and other.found)
    assert set(one.found) == {"127.0.0.1:2222"}
    assert not any(stranger.found for stranger in strangers)


def test_nodes_at_different_steps_of_a_key_rotation_find_each_other(speak: Speak) -> None:
    promoted, added = speak(announcement(1111, keys=[OTHER_KEY, KEY])), speak(announcement(2222, keys=[KEY, OTHER_KEY]))
    wait_until(lambda: promoted.found and added.found)


def test_what_is_said_on_the_lan_is_a_random_name_two_hashes_and_a_version() -> None:
    made = announcement(1111, mesh="production", keys=[KEY, OTHER_KEY])
    assert made.to_txt() == {
        "protocol": f"{PROTOCOL_MAJOR}-{PROTOCOL_MAJOR}",
        "key": KEY,
        "mesh": mesh_hash("production"),
    }
    instances = {MdnsDiscovery(made, HERE, lambda _: None).instance for _ in range(3)}
    assert len(instances) == 3
    service = MdnsDiscovery(made, HERE, lambda _: None).service()
    assert b"production" not in service.text
    assert OTHER_KEY.encode() not in service.text


@pytest.mark.parametrize(
    "changed",
    [
        {b"protocol": b"2-3"},
        {b"protocol": b"0-0"},
        {b"protocol": b"1"},
        {b"protocol": b"-"},
        {b"protocol": b"1-" + b"9" * 20},
        {b"protocol": None},
        {b"key": OTHER_KEY.encode()},
        {b"key": b"\xff\xfe"},
        {b"key": None},
        {b"key": b""},
        {b"mesh": mesh_hash("other").encode()},
        {b"mesh": None},
    ],
)
def test_a_record_that_is_not_of_a_node_to_talk_to_does_not_match(changed: dict[bytes, bytes | None]) -> None:
    good: dict[bytes, bytes | None] = {b"protocol": b"1-2", b"key": KEY.encode(), b"mesh": mesh_hash("test").encode()}
    assert announcement(1).matches(good)
    assert announcement(1).matches({**good, b"more": b"of a later version"})
    assert not announcement(1).matches({**good, **changed})
    assert not announcement(1).matches({})


class Forger:
    """Somebody on the link who says what they like."""

    def __init__(self) -> None:
        self.zeroconf = zeroconf.Zeroconf(interfaces=HERE, ip_version=zeroconf.IPVersion.V4Only)

    def announce(self, instance: str, address: str, port: int, **txt: str) -> None:
        properties = {"protocol": "1-1", "key": KEY, "mesh": mesh_hash("test"), **txt}
        info = zeroconf.ServiceInfo(
            SERVICE_TYPE,
            f"{instance}.{SERVICE_TYPE}",
            port=port,
            parsed_addresses=[address],
            properties=properties,
            server=f"{instance}.local.",
        )
        self.zeroconf.register_service(info, cooperating_responders=True)


@pytest.fixture
def forger() -> Iterator[Forger]:
    made = Forger()
    yield made
    made.zeroconf.close()


def test_forged_records_are_at_most_one_more_candidate(speak: Speak, forger: Forger) -> None:
    one = speak(announcement(1111, mesh="forged"))  # tests of the other mesh may run beside this one
    forge = partial(forger.announce, mesh=mesh_hash("forged"))
    forge("wildcard", "0.0.0.0", 7946)
    forge("multicast", "224.0.0.1", 7946)
    forge("zero", "127.0.0.3", 0)
    forge("no-key", "127.0.0.3", 7946, key="")
    forge("long", "127.0.0.3", 7947, more="x" * 200)
    wait_until(lambda: one.found)
    assert set(one.found) == {"127.0.0.3:7947"}


def test_a_name_under_which_nothing_can_be_found_holds_up_nobody(
    speak: Speak, forger: Forger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESOLVE_MS", 300_000)  # the ghosts are looked for until long after this test
    one = speak(announcement(1111))
    wait_until(lambda: one.discovery.speaking and one.discovery.speaking.loop)
    assert one.discovery.speaking is not None
    others = 16  # room for the services of tests that run beside this one
    for number in range(module.RESOLVING_MAX - others):
        one.discovery.noticed(
            zeroconf=one.discovery.speaking,
            name=f"ghost{number}.{SERVICE_TYPE}",
            state_change=zeroconf.ServiceStateChange.Added,
        )
    forger.announce("real", "127.0.0.3", 7946)
    wait_until(lambda: "127.0.0.3:7946" in one.found)
    for number in range(1000):
        one.discovery.noticed(
            zeroconf=one.discovery.speaking,
            name=f"more{number}.{SERVICE_TYPE}",
            state_change=zeroconf.ServiceStateChange.Added,
        )
    assert one.discovery.resolving <= module.RESOLVING_MAX


def test_after_a_loss_it_asks_anew_and_hints_again_at_who_is_there(
    speak: Speak, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    one, other = speak(announcement(1111)), speak(announcement(2222))
    wait_until(lambda: "127.0.0.1:2222" in one.found and other.found)
    found = len(one.found)
    one.discovery.ask_anew()
    wait_until(lambda: len(one.found) > found)


def test_it_asks_at_once_then_ever_more_rarely_for_a_day_after_the_last_loss() -> None:
    asking = AskSchedule()
    assert not asking.due(0.0), "nobody was lost"
    asking.lost(100.0)
    asking.lost(100.1)
    asked = [now for now in range(100, 100 + 2 * 86400) if asking.due(now)]
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert asked[0] == 100
    assert pauses[:5] == [30, 60, 120, 240, 480]
    assert set(pauses[5:]) == {module.ASK_S_MAX}
    assert 86400 - 2 * module.ASK_S_MAX < asked[-1] - 100 <= 86400
    asking.lost(200_000.0)
    assert asking.due(200_000.0)


def test_a_goodbye_is_no_reason_for_anything(speak: Speak) -> None:
    one, other = speak(announcement(1111)), speak(announcement(2222))
    wait_until(lambda: one.found and other.found)
    before = list(one.found)
    other.discovery.close()
    assert one.found[: len(before)] == before


def test_without_multicast_there_is_one_line_in_the_log_and_no_error(
    speak: Speak, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "meshcache"):
        speak(announcement(1111), interfaces=["192.0.2.77"])
        wait_until(lambda: "no mDNS on" in caplog.text)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("meshcache")]
    assert len(lines) == 1
    assert lines[0].startswith(
        "no mDNS on 192.0.2.77, so peers are found by seeds alone: this machine has no address 192"
    )


def test_closing_leaves_no_thread_and_may_be_repeated() -> None:
    before = set(threading.enumerate())
    one, other = Speaker(announcement(1111)), Speaker(announcement(2222))
    wait_until(lambda: one.found and other.found)
    for speaker in (one, other):
        speaker.discovery.close()
        speaker.discovery.close()
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_an_interface_that_is_made_anew_is_joined_anew(
    speak: Speak, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    number = [7]
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    monkeypatch.setattr(module, "present", lambda _: frozenset({OwnAddress("127.0.0.1", number[0])}))
    one = speak(announcement(1111))
    wait_until(lambda: one.discovery.speaking is not None)
    before = one.discovery.speaking
    with caplog.at_level(logging.INFO, "meshcache"):
        number[0] = 8
        wait_until(lambda: one.discovery.speaking is not before)
    assert "an interface came or went" in caplog.text
    other = speak(announcement(2222))
    wait_until(lambda: "127.0.0.1:2222" in one.found and "127.0.0.1:1111" in other.found)


def test_an_address_that_comes_later_is_spoken_on_then(
    speak: Speak, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.05)
    with caplog.at_level(logging.WARNING, "meshcache"):
        one = speak(announcement(1111), ["fd00::1234"])
        wait_until(lambda: "no mDNS on fd00::1234" in caplog.text)
        one.discovery.interfaces[:] = HERE
        other = speak(announcement(2222))
        wait_until(lambda: "127.0.0.1:2222" in one.found and other.found)
    assert caplog.text.count("no mDNS on fd00::1234") == 1, "said once"


@pytest.mark.parametrize("packet", [b"", b"x", bytes(12), b"\xff" * 9000])
def test_what_is_no_answer_names_no_port(packet: bytes) -> None:
    assert ports_in(packet) == set()


def test_what_is_not_here_keeps_nobody_from_speaking_where_he_can(
    speak: Speak, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "meshcache"):
        one = speak(announcement(1111), [*HERE, "fd00::1234", "192.0.2.77"])
        speak(announcement(2222))
        wait_until(lambda: "127.0.0.1:2222" in one.found)
    assert "no mDNS on fd00::1234, 192.0.2.77, which this machine hasn't" in caplog.text


def test_a_shortage_as_it_looks_at_the_interfaces_is_told_and_over_once_it_passes(
    speak: Speak, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.05)
    looks = iter([True, True])

    def look(interfaces: Sequence[str]) -> frozenset[OwnAddress]:
        if next(looks, False):
            raise OSError(errno.EMFILE, "Too many open files")
        return present(interfaces)

    monkeypatch.setattr(module, "present", look)
    with caplog.at_level(logging.WARNING, "meshcache"):
        one, other = speak(announcement(1111, mesh="short")), speak(announcement(2222, mesh="short"))
        wait_until(lambda: "127.0.0.1:2222" in one.found and "127.0.0.1:1111" in other.found)
    assert "found by seeds alone: [Errno 24] Too many open files" in caplog.text


def test_so_is_one_of_threads_and_what_had_begun_ends(speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.05)
    begun: list[zeroconf.Zeroconf] = []
    browse = zeroconf.ServiceBrowser

    def begin(speaking: zeroconf.Zeroconf, *arguments: object, **more: object) -> zeroconf.ServiceBrowser:
        begun.append(speaking)
        if len(begun) == 1:
            raise RuntimeError("can't start new thread")
        return browse(speaking, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(zeroconf, "ServiceBrowser", begin)
    one = speak(announcement(1111, mesh="threadless"))
    wait_until(lambda: len(begun) == 2)
    assert begun[0].done
    speak(announcement(2222, mesh="threadless"))
    wait_until(lambda: "127.0.0.1:2222" in one.found)
