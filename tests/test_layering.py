"""What a machine can check of the layout: who may import what, a test for each module, one duty for each file.

The rules are tables; a room that needs another import changes its row and says why in the commit.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.patching import patches

ROOT = Path(__file__).parent.parent
LINES_MAX = 400
"""Files have 100 to 300 lines; a long table or one set of callbacks may take more, past this a file has two duties."""

C_LINES_MAX = 650
"""C takes half as many lines again for the same: memory, errors and references are spelled out."""

SOURCES = sorted(path for top in ("meshcache", "server") for path in (ROOT / top).rglob("*.py"))

PURE = {
    *("__future__", "abc", "array", "bisect", "collections", "contextlib", "copy", "dataclasses", "enum", "functools"),
    *("hashlib", "heapq", "hmac", "ipaddress", "itertools", "math", "operator", "re", "string", "struct", "types"),
    *("typing", "typing_extensions", "cbor2"),
}
"""All that the core may import besides itself: no clock, socket, thread, randomness, file or log. `cbor2` turns bytes
into values and has no state."""

PURE_NAMES = {"io": ("BytesIO",), "sys": ("getsizeof",)}
"""Single names out of modules that can do more: a buffer in memory, which is what cbor2 reads from, and how many
bytes a value takes."""

KNOWS = {
    "core": "records",
    "hot": "",
    "tls": "hot core.policy core.values",
    "config": "core.policy core.values",
    "edges": "hot config core.values",
    "workers": "config edges tls",
    "runtime": "core hot tls config edges workers",
    "plugins": "hooks core.policy core.values config edges runtime",
    "tiers": "hooks plugins core.control core.replication core.values core.wire hot tls config edges runtime",
    "ticket_files": "core.values config edges runtime",
    "admin": "config edges runtime ticket_files",
    "checks": "hooks core.policy config edges runtime plugins tiers ticket_files admin",
    "live_policy": "core.control core.policy core.values core.wire config edges runtime checks",
    "doctor": "hot tls config edges ticket_files checks",
    "planning": "core.cache core.policy core.values config",
    "contrib": "node runtime.contexts.left_out runtime.contexts.named_contexts workers tls.libssl",
    "demo": "edges admin",
    "cli": "hot config edges tls ticket_files admin checks doctor planning demo",
}
"""Each room of meshcache, and what of meshcache it may know besides itself and the errors."""

ROOMS = {
    f"meshcache.{room}": {f"meshcache.{each}" for each in (room, "errors", *known.split())}
    for room, known in KNOWS.items()
}

CORE_ROOMS = (
    "policy",
    "values",
    "cache",
    "wire",
    "state",
    "membership",
    "control",
    "tickets",
    "holders",
    "replication",
    "repair",
)
"""The rooms of the core from the lowest up: each may import itself and what stands before it."""

RUNTIME_ROOMS = ("pump", "succession", "vip_ports", "lookups", "contexts")
"""The same of the rooms in `runtime/`; all of them may import its `tracing` and `state_file`."""

SERVER_ROOMS = ("applications", "tls", "connections", "takeover")
"""And of those in `server/`; all of them may import what lies beside them."""

CORE_FACES = {"mesh", "assembly", "stats"}
"""What stands above all rooms of the core; no room may import it."""

OWNERS = {
    "zmq": {"meshcache.edges"},
    "zeroconf": {"meshcache.edges"},
    "dns": {"meshcache.edges"},
    "_cffi_backend": {"meshcache.tls"},
    "aiohttp": {"meshcache.admin", "meshcache.cli"},
    "prometheus_client": {"meshcache.admin"},
    "click": {"meshcache.cli"},
    "rich": {"meshcache.cli", "meshcache.demo"},
    "uvloop": {"meshcache_server"},
    "lmdb": {"meshcache.tiers"},
    "valkey": {"meshcache.tiers"},
}
"""One foreign library, one owner."""


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "server":
        parts[0] = "meshcache_server"
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(path: Path) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Each imported module, relative ones spelled out, with the names taken from it. Every rule asks for every file."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield _spelled_out(path, node), tuple(alias.name for alias in node.names)


def _spelled_out(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


MODULES = {module_name(path): path for path in SOURCES}


def imported_modules(name: str) -> set[str]:
    """The modules of ours that a module imports, wherever in it and whatever for; itself left out."""
    found = {
        f"{module}.{taken}" if f"{module}.{taken}" in MODULES else module
        for module, names in imports(MODULES[name])
        for taken in names or ("",)
    }
    return (found & MODULES.keys()) - {name}


def folder_of(module: str) -> str:
    """The folder directly below `meshcache`, or the server's, that a module lies in."""
    return ".".join(module.split(".")[: 1 if module.startswith("meshcache_server") else 2])


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """The names that reach themselves along the arrows, each with those that reach it back."""
    reached: dict[str, set[str]] = {}
    for start in arrows:
        seen, ahead = set[str](), list(arrows[start])
        while ahead:
            name = ahead.pop()
            if name not in seen:
                seen.add(name)
                ahead += arrows.get(name, ())
        reached[start] = seen
    found = {
        tuple(sorted({name, *(other for other in reached[name] if name in reached.get(other, ()))}))
        for name in arrows
        if name in reached[name]
    }
    return [list(circle) for circle in sorted(found)]


def within(module: str, parents: set[str]) -> bool:
    return any(module == parent or module.startswith(parent + ".") for parent in parents)


def sources_of(*rooms: str) -> list[Path]:
    return [path for path in SOURCES if within(module_name(path), set(rooms))]


def test_the_core_imports_nothing_that_can_touch_the_world() -> None:
    found = {
        f"{module_name(path)} imports {module}"
        for path in sources_of("meshcache.core")
        for module, names in imports(path)
        if module.split(".")[0] not in PURE
        and not within(module, ROOMS["meshcache.core"])
        and names != PURE_NAMES.get(module)
    }
    assert not found


def test_the_core_calls_nothing_built_in_that_touches_the_world() -> None:
    touching = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
    found = {
        f"{module_name(path)}:{node.lineno} calls {node.func.id}"
        for path in sources_of("meshcache.core")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in touching
    }
    assert not found


def test_importing_the_core_loads_no_clock_of_ours_no_socket_and_no_openssl() -> None:
    program = (
        "import sys, pkgutil, importlib, cbor2\n"
        "before = set(sys.modules)\n"
        "import meshcache.core\n"
        "names = [m.name for m in pkgutil.walk_packages(meshcache.core.__path__, 'meshcache.core.')]\n"
        "for name in names: importlib.import_module(name)\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT
    ).stdout.split()
    assert "meshcache.core.cache.cache" in loaded
    banned = {"socket", "_ssl", "ssl", "asyncio", "zmq", "zeroconf", "OpenSSL", "cryptography", "logging", "random"}
    assert not banned & set(loaded)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_knows_only_the_rooms_below_it(room: str) -> None:
    found = {
        f"{module_name(path)} imports {module}"
        for path in sources_of(room)
        for module, _ in imports(path)
        if module.split(".")[0] in ("meshcache", "meshcache_server") and not within(module, ROOMS[room])
    }
    assert not found


@pytest.mark.parametrize("room", KNOWS)
def test_a_room_uses_what_it_may_know(room: str) -> None:
    found = {module for path in sources_of(f"meshcache.{room}") for module, _ in imports(path)}
    taken = {
        f"{module}.{name}"
        for path in sources_of(f"meshcache.{room}")
        for module, names in imports(path)
        for name in names
    }
    assert not [
        each for each in KNOWS[room].split() if not any(within(m, {f"meshcache.{each}"}) for m in found | taken)
    ]


def test_every_folder_of_meshcache_is_a_room() -> None:
    folders = {path.name for path in (ROOT / "meshcache").iterdir() if (path / "__init__.py").exists()}
    assert folders == KNOWS.keys()


@pytest.mark.parametrize("room", CORE_ROOMS)
def test_a_room_of_the_core_imports_only_itself_and_the_rooms_below(room: str) -> None:
    allowed = {f"meshcache.core.{below}" for below in CORE_ROOMS[: CORE_ROOMS.index(room) + 1]}
    found = {
        f"{module_name(path)} imports {module}.{name}"
        for path in sources_of(f"meshcache.core.{room}")
        for module, names in imports(path)
        for name in names or ("",)
        if within(module, {"meshcache.core"}) and not within(f"{module}.{name}", allowed)
    }
    assert not found


@pytest.mark.parametrize("room", RUNTIME_ROOMS)
def test_a_room_of_what_makes_a_node_run_imports_only_itself_and_the_rooms_below(room: str) -> None:
    below = RUNTIME_ROOMS[: RUNTIME_ROOMS.index(room) + 1]
    allowed = {f"meshcache.runtime.{name}" for name in ("tracing", "state_file", *below)}
    found = {
        f"{module_name(path)} imports {module}"
        for path in sources_of(f"meshcache.runtime.{room}")
        for module in imported_modules(module_name(path))
        if within(module, {"meshcache.runtime"}) and not within(module, allowed)
    }
    assert not found


@pytest.mark.parametrize("room", SERVER_ROOMS)
def test_a_room_of_the_server_imports_only_itself_the_rooms_below_and_what_lies_beside_them(room: str) -> None:
    above = {f"meshcache_server.{name}" for name in SERVER_ROOMS[SERVER_ROOMS.index(room) + 1 :]}
    found = {
        f"{module_name(path)} imports {module}"
        for path in sources_of(f"meshcache_server.{room}")
        for module in imported_modules(module_name(path))
        if within(module, above)
    }
    assert not found


def test_every_module_of_the_core_is_in_a_room_or_is_its_face() -> None:
    parts = {
        module_name(path).split(".")[2] for path in sources_of("meshcache.core") if module_name(path).count(".") > 1
    }
    assert parts == {*CORE_ROOMS, *CORE_FACES}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Also not for type checkers only: whoever reads one of them would have to read them all."""
    assert not circles({name: imported_modules(name) for name in MODULES})


def test_no_folders_of_meshcache_import_each_other_in_a_circle() -> None:
    arrows: dict[str, set[str]] = {name: set() for name in MODULES if folder_of(name) == name and _is_folder(name)}
    for name in MODULES:
        if folder_of(name) in arrows:
            folders = {folder_of(module) for module in imported_modules(name)}
            arrows[folder_of(name)] |= (folders & arrows.keys()) - {folder_of(name)}
    assert "meshcache.core" in arrows["meshcache.tls"]
    assert not circles(arrows)


def _is_folder(module: str) -> bool:
    return MODULES[module].name == "__init__.py" and module.count(".") == 1


def test_circles_are_found() -> None:
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set()}
    assert circles(arrows) == [["a", "b", "c"]]


@pytest.mark.parametrize("library", OWNERS)
def test_a_foreign_library_has_one_owner(library: str) -> None:
    found = {
        module_name(path)
        for path in SOURCES
        for module, _ in imports(path)
        if within(module, {library}) and not within(module_name(path), OWNERS[library])
    }
    assert not found


def test_the_server_uses_only_public_names_of_meshcache() -> None:
    import meshcache

    public = set(meshcache.__all__)
    found = {
        f"{module_name(path)} takes {module}: {', '.join(names) or 'the module'}"
        for path in sources_of("meshcache_server")
        for module, names in imports(path)
        if within(module, {"meshcache"}) and not (module == "meshcache" and set(names) <= public)
    }
    assert not found


def test_nobody_knows_contrib() -> None:
    found = {
        f"{module_name(path)} imports {module}"
        for path in SOURCES
        for module, _ in imports(path)
        if within(module, {"meshcache.contrib"}) and not within(module_name(path), {"meshcache.contrib"})
    }
    assert not found


def test_inside_the_server_imports_are_relative() -> None:
    found = {
        module_name(path)
        for path in sources_of("meshcache_server")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and not node.level and within(node.module or "", {"meshcache_server"})
    }
    assert not found


def test_only_the_command_line_knows_the_server() -> None:
    found = {
        module_name(path)
        for path in sources_of("meshcache")
        for module, _ in imports(path)
        if within(module, {"meshcache_server"}) and not within(module_name(path), {"meshcache.cli"})
    }
    assert not found


def test_every_module_has_a_test_module() -> None:
    missing = {str(expected) for path in SOURCES if _has_code(path) and not (expected := _test_of(path)).exists()}
    assert not missing


def _has_code(path: Path) -> bool:
    """Whether there is anything to test: a file of imports, names and constants is tested by those who use it."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds[:2])]
    return bool(functions)


def _test_of(path: Path) -> Path:
    relative = path.relative_to(ROOT)
    folder = Path(*relative.parts[1:-1]) if relative.parts[0] == "meshcache" else Path(*relative.parts[:-1])
    stem = relative.stem if relative.stem != "__init__" else relative.parent.name
    return ROOT / "tests" / folder / f"test_{stem.strip('_')}.py"


COMPILED_TWINS = {"Acceptor", "Callbacks", "TlsStream", "VipCache"}
"""Classes in Python beside the one in C that does their work, where that is compiled."""


def test_no_two_public_classes_bear_one_name() -> None:
    found: dict[str, list[str]] = {}
    for path in [*SOURCES, *ROOT.glob("meshcache/**/*.pyi"), *ROOT.glob("server/*.pyi")]:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    twice = {name: files for name, files in found.items() if len(files) > 1}
    assert set(twice) == COMPILED_TWINS, twice
    assert all(sorted(Path(file).suffix for file in twice[name]) == [".py", ".pyi"] for name in COMPILED_TWINS)


def test_every_module_opens_with_its_duty() -> None:
    assert not [module_name(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))]


@pytest.mark.parametrize("room", [*KNOWS, *(f"core.{room}" for room in CORE_ROOMS)])
def test_a_room_opens_with_what_it_imports(room: str) -> None:
    told = " ".join((ast.get_docstring(ast.parse(MODULES[f"meshcache.{room}"].read_text())) or "").split())
    assert re.search(r"[Ii]mports? ", told)


def test_every_file_is_short_enough_to_have_one_duty() -> None:
    lengths = {module_name(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert not {name: lines for name, lines in lengths.items() if lines > LINES_MAX}


def test_every_file_in_c_is_short_enough_too() -> None:
    files = [path for top in ("meshcache", "server") for path in (ROOT / top).rglob("*.[ch]")]
    assert files
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert not {name: lines for name, lines in lengths.items() if lines > C_LINES_MAX}


def test_every_file_in_c_is_compiled_and_every_header_goes_with_the_sources() -> None:
    modules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
    named = sorted(name for module in modules for name in (*module["sources"], *module["depends"]))
    there = [path for top in ("meshcache", "server") for path in (ROOT / top).rglob("*.[ch]")]
    assert named == sorted(str(path.relative_to(ROOT)) for path in there)


def test_every_package_is_installed_by_name() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert sorted({*settings["packages"]} - {"meshcache.pages"}) == sorted(
        module_name(path) for path in SOURCES if path.name == "__init__.py"
    )


MADE_BY_OTHERS = {
    "tests/contrib/twisted_plugins/test_meshcache_endpoint.py: _sslContextFactory",
    "tests/runtime/contexts/test_attached_vips.py: _ctx",
    "tests/tls/test_libssl.py: _ctx",
}
"""What another project's objects show by no public name."""


def test_tests_look_inside_by_public_names() -> None:
    """`MeshCore.duties` and `MeshNode.internals` lead to all there is: a private name can change without a test."""
    reaches = {
        f"{path.relative_to(ROOT)}: {node.attr}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for tree in (ast.parse(path.read_text()),)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and _is_private(node.attr) and not _is_own(node.value, _modules_in(tree))
    }
    assert reaches == MADE_BY_OTHERS


def _is_private(name: str) -> bool:
    of_named_tuples = {"_replace", "_asdict", "_fields", "_make"}
    return name.startswith("_") and not name.startswith("__") and name not in of_named_tuples


def _is_own(value: ast.expr, modules: set[str]) -> bool:
    """Whether it is an object's view of itself, or a helper of a module, which is tested where it is."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "super"
    return isinstance(value, ast.Name) and value.id in {"self", "cls", *modules}


@cache
def _modules_in(tree: ast.Module) -> set[str]:
    """The names by which a file calls modules that it imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            places = ((alias, ROOT.joinpath(*node.module.split("."), alias.name)) for alias in node.names)
            found |= {a.asname or a.name for a, at in places if at.is_dir() or at.with_suffix(".py").exists()}
    return found


PATCHED = {
    "meshcache.cli.main: sys.stdout": "nobody reads it any more, and the interpreter would complain at its end",
    "meshcache.core.cache.cache: vip_cache.bytes_max": "a part of the cache, in C or in Python: its bounds",
    "meshcache.core.cache.cache: vip_cache.sessions_max": "the other one",
    "meshcache.core.cache.cache: vip_cache.evicted": "and its counter",
    "meshcache.core.values.drops: member._value_": "an enum's own way to give a member its value",
    "meshcache.records: made.[name]": "makes classes",
    "meshcache.records: made.__init__": "makes classes",
    "meshcache.records: names['__init__'].__qualname__": "makes classes",
    "meshcache.tls.contexts: self._finalizer.atexit": "the switch that `weakref.finalize` has for that",
    "meshcache_server.tls.stream: self.connection._from_ssl": "pyOpenSSL's: it gives no connection fresh BIOs",
    "meshcache_server.tls.streams: context._used": "pyOpenSSL's, of connections that it didn't make itself",
}
"""What is set on other objects all the same, and why. What is called is never among it."""


def test_nobody_wires_an_object_from_outside() -> None:
    """All that a class calls comes by its constructor, or by a method that says when it is called: then "go to
    definition" leads to what is done. Only `contrib` sets attributes of others' objects: it joins their servers.
    """
    found = patches(
        {name: path.read_text() for name, path in MODULES.items() if not within(name, {"meshcache.contrib"})}
    )
    assert found == set(PATCHED)


def test_nothing_is_vendored() -> None:
    # `meshcache.contrib` is code of our own, named as others name the place where servers are joined; hence not here.
    names = {"vendor", "_vendor", "vendored", "third_party", "thirdparty", "extern", "external"}
    assert not [path for path in SOURCES if names & {part.lower() for part in path.relative_to(ROOT).parts}]


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    pinned = {
        line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    names = {wish.split(">")[0].split("[")[0].strip().lower().replace("_", "-") for wish in wanted} - {"meshcache"}
    assert names <= {name.replace("_", "-") for name in pinned}


def test_the_code_refers_to_no_todo() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    assert not [module_name(path) for path in SOURCES if any(word in path.read_text() for word in words)]
