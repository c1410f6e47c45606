import pytest

from meshcache.edges.zap import DOMAIN, answer

KEY = bytes(range(32))


def request(**changes: bytes) -> list[bytes]:
    frames = {
        "version": b"1.0",
        "id": b"7",
        "domain": DOMAIN,
        "address": b"127.0.0.1",
        "routing_id": b"",
        "mechanism": b"CURVE",
        "key": KEY,
    }
    return list((frames | changes).values())


def test_a_curve_client_with_a_key_of_ours_is_let_in() -> None:
    assert answer(request(), {KEY}) == [b"1.0", b"7", b"200", b"OK", b"", b""]


@pytest.mark.parametrize(
    "changed",
    [
        request(key=KEY[::-1]),
        request(key=b""),
        request(mechanism=b"NULL"),
        request(mechanism=b"NULL")[:6],
        [*request(mechanism=b"PLAIN"), b"password"],
        request(domain=b"other"),
        request(version=b"2.0"),
        request()[:1],
        [],
    ],
)
def test_everybody_else_is_turned_away(changed: list[bytes]) -> None:
    assert answer(changed, {KEY})[2] == b"400"


def test_nobody_is_let_in_while_there_is_no_key() -> None:
    assert answer(request(), frozenset())[2] == b"400"
