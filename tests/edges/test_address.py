import pytest

from meshcache.edges.address import dialable


@pytest.mark.parametrize(
    "address, form",
    [
        ("10.0.0.4:7946", "10.0.0.4:7946"),
        ("10.0.0.4:1", "10.0.0.4:1"),
        ("10.0.0.4:65535", "10.0.0.4:65535"),
        ("[::1]:7946", "[::1]:7946"),
        ("[0:0::1]:7946", "[::1]:7946"),
    ],
)
def test_an_ip_address_and_a_port_can_be_dialled(address: str, form: str) -> None:
    assert dialable(address) == form


@pytest.mark.parametrize(
    "address",
    [
        "",
        "10.0.0.4",
        "10.0.0.4:",
        "10.0.0.4:0",
        "10.0.0.4:65536",
        "10.0.0.4:٣٣",
        "10.0.0.4:-1",
        "host.example:7946",
        "*:7946",
        "0.0.0.0:7946",
        "[::]:7946",
        "224.0.0.251:5353",
        "::1:7946",
        "[10.0.0.4]:7946",
        "10.0.0.5:0;10.0.0.4:7946",
        "ipc:///tmp/socket:1",
        "[::1]:7946 ",
        "1" * 100,
    ],
)
def test_what_libzmq_would_resolve_or_read_in_another_way_is_not_dialled(address: str) -> None:
    assert dialable(address) is None
