"""What operators are handed: the installed package in an empty folder, the image, the cluster and compose examples."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import meshcache
from meshcache.admin.api import health_routes
from meshcache.cli.docs import pages

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
KUBERNETES = ROOT / "docs/deploy/kubernetes.yaml"
COMPOSE = ROOT / "docs/deploy/compose.yaml"
USER = 7946


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def succeeded(outcome: subprocess.CompletedProcess[str]) -> str:
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An environment with the package as the Dockerfile installs it, from what the Dockerfile copies.

    What it depends on is lent by the environment of the tests.
    """
    top = tmp_path_factory.mktemp("image")
    (top / "src").mkdir()
    for copied in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        *sources, target = copied.split()
        for source in sources:
            take(ROOT / source, top / "src" / target / (source if target == "./" else ""))
    environment = top / "opt"
    succeeded(run(sys.executable, "-m", "venv", "--without-pip", environment))
    lent = environment / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix) / "lent.pth"
    lent.write_text(sysconfig.get_path("purelib") + "\n")
    pip = next(part for part in re.split(r"&&|\n", DOCKERFILE) if "pip install" in part and "'." in part)
    words = [word for word in shlex.split(pip)[1:] if not word.startswith("/")]
    words = words[words.index("install") :] if "install" in words else words
    succeeded(run(environment / "bin/python", "-m", "pip", *words, "--no-deps", "-q", cwd=top / "src"))
    return environment


def take(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    else:
        shutil.copy(source, target)


@pytest.mark.slow
@pytest.mark.harness
def test_the_installed_package_brings_its_documentation_and_files(installed: Path, tmp_path: Path) -> None:
    command = installed / "bin/meshcache"
    listed = succeeded(run(command, "docs", cwd=tmp_path))
    assert set(pages()) <= set(listed.split())
    for name in ("watching", "meshcache.service", "alerts.yml", "dashboard.json", "kubernetes.yaml", "compose.yaml"):
        assert succeeded(run(command, "docs", name, cwd=tmp_path)) == (ROOT / "docs" / pages()[name].path).read_text()
    assert succeeded(run(command, "docs", "readme", cwd=tmp_path)) == (ROOT / "README.md").read_text()
    found = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert "share/man/man1/meshcache.1" in found
    assert not [path for path in found if "/pages/pictures/" in path]
    here = {page.path for page in pages().values()} - {"README.md"}
    assert not {path for path in here if not any(each.endswith(f"meshcache/pages/{path}") for each in found)}


@pytest.mark.slow
@pytest.mark.harness
def test_the_metadata_names_no_address_that_is_not_ours(installed: Path, tmp_path: Path) -> None:
    """The project has none: what there is to read comes with the package, as its description says."""
    said = "from importlib.metadata import metadata; print(metadata('meshcache').as_string())"
    told = succeeded(run(installed / "bin/python", "-I", "-c", said, cwd=tmp_path))
    assert "Project-URL" not in told
    assert "Home-page" not in told
    assert "an installed version brings these pages itself (`meshcache docs`" in told


@pytest.mark.slow
@pytest.mark.harness
def test_the_installed_package_is_complete(installed: Path, tmp_path: Path) -> None:
    imported = "import meshcache, meshcache.hot as hot, meshcache_server"
    said = f"{imported}; print(meshcache.__version__, hot.path(), meshcache.__file__)"
    version, path, file = succeeded(run(installed / "bin/python", "-c", said, cwd=tmp_path)).split()
    assert version == meshcache.__version__
    assert path == "c"
    assert Path(file).is_relative_to(installed), "the package, not this checkout"
    succeeded(run(installed / "bin/meshcache", "init", "here", cwd=tmp_path))
    succeeded(run(installed / "bin/meshcache", "check", "here/meshcache.toml", "--set", "mesh.listen=127.0.0.1:0",
                  "--set", "vip.shop.listen=127.0.0.1:0", cwd=tmp_path))  # fmt: skip


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    program = Path(sys.executable).parent / "hadolint"
    assert succeeded(run(program, "--no-color", ROOT / "Dockerfile")) == ""


def test_the_image_runs_as_a_user_of_its_own_and_copies_what_the_context_holds() -> None:
    assert f"USER {USER}:{USER}" in DOCKERFILE
    assert "HEALTHCHECK" in DOCKERFILE
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()
    }
    assert copied == kept


@pytest.fixture(scope="module")
def cluster() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for document in yaml.safe_load_all(KUBERNETES.read_text()):
        found.setdefault(document["kind"], []).append(document)
    return found


def test_kubernetes_takes_each_document(cluster: dict[str, list[dict[str, Any]]]) -> None:
    assert set(cluster) == {
        "ConfigMap", "Service", "StatefulSet", "PodDisruptionBudget", "NetworkPolicy"
    }  # fmt: skip
    for documents in cluster.values():
        for document in documents:
            kubernetes_validate.validate(document, "1.37", strict=True)


def test_the_documents_fit_each_other(cluster: dict[str, list[dict[str, Any]]]) -> None:
    (stateful,), (budget,), (policy,) = (
        cluster[kind] for kind in ("StatefulSet", "PodDisruptionBudget", "NetworkPolicy")
    )
    template = stateful["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert stateful["spec"]["selector"]["matchLabels"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == policy["spec"]["podSelector"]["matchLabels"] == labels
    assert {of["metadata"]["namespace"] for documents in cluster.values() for of in documents} == {"meshcache"}
    (container,) = template["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    headless = {of["metadata"]["name"]: of for of in cluster["Service"]}[stateful["spec"]["serviceName"]]
    assert headless["spec"]["clusterIP"] == "None"
    assert headless["spec"]["publishNotReadyAddresses"]
    assert {port.get("targetPort", port["name"]) for of in cluster["Service"] for port in of["spec"]["ports"]} <= ports
    assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} == ports
    volumes = {
        of["name"]
        for of in [*template["spec"]["volumes"], *(c["metadata"] for c in stateful["spec"]["volumeClaimTemplates"])]
    }
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    answered = {route.path for route in health_routes(None)}  # type: ignore[arg-type]
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert {probe["path"] for probe in probes} <= answered
    assert {probe["port"] for probe in probes} <= ports


def test_secrets_are_roots_and_the_groups_of_a_user_without_privileges(
    cluster: dict[str, list[dict[str, Any]]],
) -> None:
    spec = cluster["StatefulSet"][0]["spec"]["template"]["spec"]
    context = spec["securityContext"]
    assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == USER
    assert [of["secret"]["defaultMode"] for of in spec["volumes"] if "secret" in of] == [0o440, 0o440]
    of_container = spec["containers"][0]["securityContext"]
    assert of_container["readOnlyRootFilesystem"]
    assert not of_container["allowPrivilegeEscalation"]
    assert of_container["capabilities"] == {"drop": ["ALL"]}


def test_a_node_takes_the_configuration_of_the_cluster(
    cluster: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    stateful, text = cluster["StatefulSet"][0], cluster["ConfigMap"][0]["data"]["meshcache.toml"]
    file = tmp_path / "meshcache.toml"
    file.write_text(text)
    settings = meshcache.load(file)
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    mounts = [Path(mount["mountPath"]) for mount in container["volumeMounts"]]
    used = [settings.mesh.key_file, settings.node.state_dir, settings.admin.socket, settings.vips[0].private_key]
    assert all(any(Path(str(path)).is_relative_to(mount) for mount in mounts) for path in used), used
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert settings.mesh.listen.endswith(f":{ports['mesh']}")
    assert settings.admin.http is not None
    assert settings.admin.http.endswith(f":{ports['http-admin']}")
    assert settings.vips[0].listen[0].endswith(f":{ports['https']}")
    grace_s = stateful["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace_s > settings.server.drain_s + int(container["lifecycle"]["preStop"]["exec"]["command"][1])


def test_compose_takes_the_example() -> None:
    succeeded(run("docker-compose", "-f", COMPOSE, "config", "--quiet"))


def test_a_node_takes_what_the_compose_example_sets(tmp_path: Path) -> None:
    succeeded(run(sys.executable, "-m", "meshcache", "init", tmp_path))
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    assert [of["hostname"] for of in services.values()] == ["edge-1", "edge-2"]
    for service in services.values():
        words = service["command"]
        assert words[:2] == ["serve", "/etc/meshcache/meshcache.toml"]
        settings = meshcache.load(tmp_path / "meshcache.toml", [word.removeprefix("--set=") for word in words[2:]])
        assert settings.mesh.seeds == ("dns:edge-1:7946", "dns:edge-2:7946")
        assert {port.split(":")[-1] for port in service["ports"]} == {"8443", "9946"}
