from __future__ import annotations

from meshcache.tls.port import SessionPort
from tests.tls.world import DictPort


def test_a_dict_is_enough_of_a_node() -> None:
    port: SessionPort = DictPort()
    assert port.find(bytes(32)) is None
    port.created(bytes(32), b"der", 0, False, 0x0304)
    found = port.find(bytes(32))
    assert found is not None
    der, token = found
    assert der == b"der"
    assert token != 0
    assert port.made_here(token)
