"""What the doctor says of the server around a node."""

from __future__ import annotations

from meshcache.doctor.front import front_findings

WELL = {
    "reload": None,
    "backends": [{"vip": "shop", "backend": "a:1", "up": True}],
    "certificates": [{"vip": "shop", "name": "shop.example", "ends_in_s": 60 * 86_400}],
}


def said(**other: object) -> list[str]:
    return [f"{finding.name}: {finding.text}" for finding in front_findings(WELL | other)]


def test_a_server_that_is_well_gets_one_line() -> None:
    assert len(said()) == 1
    assert "up" in said()[0]


def test_each_trouble_has_its_line() -> None:
    failed = {"ok": False, "faults": ["vip[0].min_tls: must be"], "restart": [], "changed": []}
    waits = {"ok": True, "faults": [], "restart": ["admin.http"], "changed": []}
    assert any("vip[0].min_tls" in line for line in said(reload=failed))
    assert any("waits for a restart: admin.http" in line for line in said(reload=waits))
    assert any(
        "down: a:1 of VIP shop" in line for line in said(backends=[{"vip": "shop", "backend": "a:1", "up": False}])
    )
    for left_s, words in ((-5, "has expired"), (86_400 * 3, "ends in 3 days")):
        ends = [{"vip": "shop", "name": "shop.example", "ends_in_s": left_s}]
        assert any(words in line for line in said(certificates=ends))
