"""What ships for Prometheus and Grafana against a metrics page: no alert or panel watches a name that is not there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from meshcache.admin import metrics
from tests.admin.snapshots import REFUSAL, GeneratedNode

DOCS = Path(__file__).parent.parent.parent / "docs"
ALERTS = DOCS / "prometheus/alerts.yml"
GRAFANA = DOCS / "grafana/dashboard.json"
PROMQL = {
    *("and", "by", "count", "histogram_quantile", "increase", "max", "min", "offset", "on", "or", "rate", "sum"),
    *("unless", "without"),
}


@pytest.fixture
def registry() -> CollectorRegistry:
    """A page on which every reason has been seen once."""
    node = GeneratedNode()
    node.advance(20)
    node.vips["pay"]["sessions"]["refused"] = node.vips["pay"]["lookups"]["refused"] = {"der": 1}
    node.vips["pay"]["sessions"]["passed_on_unkept"] = {"quota": 1}
    node.gossip["dropped"] = {"malformed": 1}
    node.faults = {"shop": {"new_session": 1}}
    node.refusals = [REFUSAL]
    return metrics.registry_of(node.stats)


def page_of(registry: CollectorRegistry) -> dict[str, set[str]]:
    """Every series name on the page with the labels it has."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    found: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions_of(document: Any) -> Iterator[str]:
    """Every PromQL expression in a Grafana dashboard, wherever panels and variables keep them."""
    if isinstance(document, dict):
        yield from (
            value for key, value in document.items() if key in ("expr", "definition") and isinstance(value, str)
        )
        document = list(document.values())
    if isinstance(document, list):
        for value in document:
            yield from expressions_of(value)


def alert_expressions() -> list[str]:
    return re.findall(r"^ +expr: (.+)$", ALERTS.read_text(), re.MULTILINE)


def series_in(expression: str) -> set[tuple[str, frozenset[str]]]:
    """Series names of an expression, each with the labels that its selector names; no other bare word is left over."""
    bare = re.sub(r"label_values\((\w+), \w+\)", r"\1", expression)
    bare = re.sub(r"(by|without|on|ignoring|group_left|group_right) ?\([^)]*\)", "", bare)
    found = set()
    for name, selector in re.findall(
        r"\b([a-zA-Z_:][\w:]*)\s*(?:\{([^}]*)\})?", re.sub(r"\[[^]]*]|\"[^\"]*\"", "", bare)
    ):
        if name not in PROMQL and not re.fullmatch(r"\d\w*|[smhdwy]", name):
            found.add((name, frozenset(re.findall(r"(\w+)\s*[=!]", selector))))
    return found


def groupings_in(expression: str) -> set[str]:
    groups = re.findall(r"(?:by|without|on|ignoring) ?\(([^)]*)\)", expression)
    return {label.strip() for group in groups for label in group.split(",") if label.strip()}


def check_expression(expression: str, page: dict[str, set[str]]) -> None:
    """Every series exists on a real page, or Prometheus makes it, and has the labels that the expression uses."""
    outside = {"job", "instance"}
    known = {**page, "up": set()}
    names = series_in(expression)
    assert names, f"no series in {expression}"
    for name, labels in names:
        assert name in known, f"{name} in {expression} is no metric of ours"
        assert labels <= known[name] | outside, f"{name} has no {labels - known[name]}: {expression}"
    everything = set().union(*(known[name] for name, _ in names)) | outside
    assert groupings_in(expression) <= everything, expression


def test_every_alert_watches_series_that_exist(registry: CollectorRegistry) -> None:
    expressions = alert_expressions()
    assert len(expressions) >= 8
    for expression in expressions:
        check_expression(expression, page_of(registry))


def test_every_grafana_panel_shows_series_that_exist(registry: CollectorRegistry) -> None:
    dashboard = json.loads(GRAFANA.read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    for panel in panels:
        assert list(expressions_of(panel)), f"{panel['title']} asks nothing"
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for expression in expressions_of(dashboard):
        check_expression(expression.replace("$__rate_interval", "5m"), page_of(registry))


def test_the_check_itself_finds_a_name_that_does_not_exist(registry: CollectorRegistry) -> None:
    with pytest.raises(AssertionError, match="meshcache_handshake_total"):
        check_expression("sum by (vip) (rate(meshcache_handshake_total[5m]))", page_of(registry))
    with pytest.raises(AssertionError, match="outcome"):
        check_expression('rate(meshcache_handshakes_total{outcome="full"}[5m])', page_of(registry))
    with pytest.raises(AssertionError, match="colo"):
        check_expression("sum by (colo) (rate(meshcache_handshakes_total[5m]))", page_of(registry))


def promtool(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool", path=str(Path(sys.executable).parent)) or shutil.which("promtool")
    assert program is not None, "alert rules are checked with promtool, of Debian's package prometheus: make test"
    return subprocess.run([program, *arguments], input=given, capture_output=True, text=True, timeout=60, check=False)


def test_prometheus_takes_the_alert_rules() -> None:
    outcome = promtool("check", "rules", str(ALERTS))
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_prometheus_takes_the_page(registry: CollectorRegistry) -> None:
    outcome = promtool("check", "metrics", given=generate_latest(registry).decode())
    complaints = [line for line in outcome.stderr.splitlines() if "meshcache_" in line]
    assert outcome.returncode in (0, 3), outcome.stderr
    assert not complaints


def test_prometheus_can_run_every_grafana_query(tmp_path: Path) -> None:
    """promtool parses rules only, so each query becomes one."""
    expressions = [
        expression.replace("$__rate_interval", "5m").replace("$node", ".*").replace("$vip", ".*")
        for expression in expressions_of(json.loads(GRAFANA.read_text()))
        if not expression.startswith("label_values")
    ]
    rules = [{"record": f"query:{i}", "expr": expression} for i, expression in enumerate(expressions)]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "grafana", "rules": rules}]}))
    outcome = promtool("check", "rules", str(file))
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


SERIES = {
    "MeshcacheNodeDown": ['up{job="meshcache", instance="a"} 0x60'],
    "MeshcachePeerRefused": [
        'meshcache_peer_refusals{instance="a", peer="edge-9", reason="name_taken", side="here"} 1+1x60'
    ],
    "MeshcacheHandshakesFail": [
        'meshcache_handshakes_total{instance="a", vip="shop", result="failed"} 0+30x60',
        'meshcache_handshakes_total{instance="a", vip="shop", result="full"} 0+60x60',
    ],
    "MeshcacheNoBackend, MeshcacheBackendDown": ['meshcache_backend_up{instance="a", vip="shop", backend="one"} 0x60'],
    "MeshcacheBackendDown": [
        'meshcache_backend_up{instance="a", vip="shop", backend="one"} 0x60',
        'meshcache_backend_up{instance="a", vip="shop", backend="two"} 1x60',
    ],
    "MeshcacheBackendFails": [
        'meshcache_backend_up{instance="a", vip="shop", backend="one"} 1x60',
        'meshcache_backend_connects_total{instance="a", vip="shop", backend="one"} 0+60x60',
        'meshcache_backend_connect_failures_total{instance="a", vip="shop", backend="one"} 0+6x60',
    ],
    "MeshcacheCertificateEnds": ['meshcache_certificate_ends_seconds{instance="a", vip="shop", name="n"} 864000x60'],
    "MeshcacheCertificateEnds, MeshcacheCertificateEnded": [
        'meshcache_certificate_ends_seconds{instance="a", vip="shop", name="n"} -5x60'
    ],
    "MeshcacheReloadFailed": ['meshcache_last_reload_ok{instance="a"} 0x60'],
    "MeshcacheTierDown": ['meshcache_tier_up{instance="a", tier="disk"} 0x60'],
    "MeshcacheTicketKeysNotExported": [
        'meshcache_ticket_export_stale_seconds{instance="a", vip="shop", format="nginx", path="/run/shop"} 61+60x60'
    ],
    "MeshcacheRelayShort": [
        'meshcache_sessions_passed_on_unkept_total{instance="a", vip="shop", reason="quota"} 0+5x60'
    ],
    "MeshcacheConnectionsNearLimit": [
        'meshcache_connections_open{instance="a"} 95x60',
        'meshcache_connections_max{instance="a"} 100x60',
    ],
    "": [
        'up{job="meshcache", instance="a"} 1x60',
        'meshcache_backend_up{instance="a", vip="shop", backend="one"} 1x60',
        'meshcache_backend_connects_total{instance="a", vip="shop", backend="one"} 0+60x60',
        'meshcache_backend_connect_failures_total{instance="a", vip="shop", backend="one"} 0+1x60',
        'meshcache_certificate_ends_seconds{instance="a", vip="shop", name="n"} 8640000x60',
        'meshcache_last_reload_ok{instance="a"} 1x60',
        'meshcache_tier_up{instance="a", tier="disk"} 1x60',
        'meshcache_connections_open{instance="a"} 50x60',
        'meshcache_ticket_export_stale_seconds{instance="a", vip="shop", format="nginx", path="/run/shop"} 0x60',
        'meshcache_connections_max{instance="a"} 100x60',
        'meshcache_handshakes_total{instance="a", vip="shop", result="failed"} 0+1x60',
        'meshcache_handshakes_total{instance="a", vip="shop", result="full"} 0+60x60',
    ],
}
"""What an hour of these series sets off, by Prometheus' own judgement: exactly the alerts that are named."""


def test_each_alert_fires_for_what_it_is_meant_for_and_no_other_does(tmp_path: Path) -> None:
    groups = [
        {
            "interval": "1m",
            "input_series": [dict(zip(("series", "values"), line.rsplit(" ", 1), strict=True)) for line in lines],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": "50m",
                    "exp_samples": [
                        {"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(names.split(", ")) if name
                    ],
                }
            ],
        }
        for names, lines in SERIES.items()
    ]
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": groups}))
    outcome = promtool("test", "rules", str(file))
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
