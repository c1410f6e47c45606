"""Tests of `server.addresses`."""

import pytest
from meshcache_server.addresses import join_address, split_address


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:8443", ("::1", 8443)), ("app.internal:1", ("app.internal", 1))],
)
def test_an_address_is_split_and_joined(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts
    assert join_address(*parts) == address
