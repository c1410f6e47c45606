"""Which hot path runs, how the compiled one is built, and what it needs of the system."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from meshcache import hot

ROOT = Path(__file__).parent.parent.parent
C_FILES = [*sorted((ROOT / "meshcache" / "hot").glob("*.c")), *sorted((ROOT / "server").glob("*.c"))]

# Not among them: -Wpedantic and -Wwrite-strings, which the tables of CPython's own C API can't satisfy.
WARNINGS = [
    *("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wcast-qual", "-Wpointer-arith", "-Wvla"),
    *("-Wstrict-prototypes", "-Wmissing-prototypes", "-Wundef", "-Wnull-dereference", "-Wformat=2"),
]

needs_compiled = pytest.mark.skipif(hot.compiled is None, reason=hot.why_not)
needs_compiler = pytest.mark.skipif(
    shutil.which("gcc") is None or not Path(sysconfig.get_path("include"), "Python.h").exists(),
    reason="no gcc, or no headers of this Python",
)


def run(code: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env=environment
    )


SAY = "import meshcache.hot as hot; print(hot.path(), hot.why_not)"


@pytest.mark.parametrize("value", ["1", "yes"])
def test_the_environment_can_ask_for_pure_python(value: str) -> None:
    assert run(SAY, MESHCACHE_PURE=value).stdout == "python MESHCACHE_PURE is set\n"


@needs_compiled
@pytest.mark.parametrize("value", ["", "0", "no"])
def test_else_the_compiled_path_runs(value: str) -> None:
    assert run(SAY, MESHCACHE_PURE=value).stdout.split() == ["c"]


def test_without_the_module_python_does_it_and_says_why() -> None:
    hidden = "import sys; sys.modules['meshcache.hot._hot'] = None\n" + SAY
    said = run(hidden, MESHCACHE_PURE="").stdout
    assert said.startswith("python the compiled module can't be had: ")


def test_a_module_that_was_built_from_other_sources_is_not_used() -> None:
    older = "import sys, types; sys.modules['meshcache.hot._hot'] = types.ModuleType('_hot')\n" + SAY
    assert run(older, MESHCACHE_PURE="").stdout.startswith("python the compiled module was built from other sources")


@needs_compiled
def test_ids_are_spread_by_siphash() -> None:
    """The vectors of its reference implementation: key 00..0f, messages 00..(n-1)."""
    key = (int.from_bytes(bytes(range(8)), "little"), int.from_bytes(bytes(range(8, 16)), "little"))
    assert hot.compiled is not None
    for length, expected in ((0, 0x726FDB47DD0E0E31), (8, 0x93F5F5799A932462), (15, 0xA129CA6149BE45E5)):
        assert hot.compiled.siphash(*key, bytes(range(length))) == expected


@needs_compiler
@pytest.mark.harness
def test_it_compiles_without_a_warning(tmp_path: Path) -> None:
    include = sysconfig.get_path("include")
    command = ["gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-fPIC", "-c", *WARNINGS, "-Werror", f"-isystem{include}"]
    subprocess.run([*command, *map(str, C_FILES)], check=True, timeout=100, cwd=tmp_path)


@needs_compiler
@pytest.mark.harness
def test_a_wheel_holds_it_for_this_python_and_later(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("meshcache", "server", "docs"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*command, str(tree)], check=True, timeout=100, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert "-cp311-abi3-" in wheel.name
    held = zipfile.ZipFile(wheel).namelist()
    assert "meshcache/hot/_hot.abi3.so" in held
    assert "meshcache_server/_steps.abi3.so" in held


# No memory that is writable and executable (prctl(2), PR_SET_MDWE of Linux 6.3)

FORBID = "import ctypes; assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0\n"
needs_mdwe = pytest.mark.skipif(
    run(FORBID).returncode != 0, reason="this kernel can't forbid memory that is writable and executable"
)

RESUME = FORBID + (
    "from tests.tls.world import *\n"
    "for kind in KINDS:\n"
    "    for version in VERSIONS:\n"
    "        context, client = server_context(kind, version), client_context(version)\n"
    "        attach(context, DictPort())\n"
    "        first = visit(context, client)\n"
    "        print(visit(context, client, session=first.session).resumed)\n"
)


@needs_mdwe
@needs_compiled
def test_the_compiled_path_needs_no_writable_and_executable_memory() -> None:
    done = run(RESUME, MESHCACHE_PURE="")
    assert (done.stdout.split(), done.stderr) == (["True"] * 4, "")


@needs_mdwe
def test_the_pure_path_names_the_setting_that_forbids_it() -> None:
    done = run(RESUME, MESHCACHE_PURE="1")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("meshcache.errors.HookError: callbacks can't be made")
    assert "MemoryDenyWriteExecute" in last
