"""Runs tests of weakened builds: each in a process of its own, forked from one that has imported what isn't ours.

A build is weakened as its module is imported: what is compiled is the tree's source with one line changed, and nothing
on the disk is touched. The fork has no module of ours yet, so none of them holds a name of the unweakened one; programs
that a test starts meet a ``sitecustomize`` that does the same to them. To copy the tree, start an interpreter and
import pytest, pydantic and the like took most of the time that a build took.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Self

WEAKENED = "MESHCACHE_WEAKENED"
"""The environment variable with the change, JSON: the module's name, the old text and the new."""

NOT_OURS = (
    "aiohttp.web",
    "cbor2",
    "click",
    "cryptography.x509",
    "hypothesis",
    "OpenSSL.SSL",
    "prometheus_client",
    "psutil",
    "pydantic",
    "pytest",
    "pytest_asyncio",
    "pytest_timeout",
    "rich.console",
    "trustme",
    "xdist.plugin",
    "zeroconf",
    "zmq",
)
"""What these tests need and what takes time to import; nothing that starts a thread or opens a socket."""


class Weakener(importlib.abc.MetaPathFinder):
    """Finds one module and compiles it from a changed source; every other is left to the finders that were there."""

    def __init__(self, module: str, old: str, new: str) -> None:
        self._module, self._old, self._new = module, old, new

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._module:
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(each for each in found if each is not None)
        spec.loader = _Loader(name, str(spec.origin), self._old, self._new)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, old: str, new: str) -> None:
        super().__init__(name, path)
        self._old, self._new = old, new

    def get_code(self, fullname: str) -> CodeType:
        source = Path(self.path).read_text()
        assert source.count(self._old) == 1, f"{self.path} has changed: mend tests/security/mutants.py"
        return compile(source.replace(self._old, self._new), self.path, "exec", dont_inherit=True)


def weaken_imports() -> None:
    """Weaken what is imported from now on, as the environment says; does nothing when it says nothing."""
    if (change := os.environ.get(WEAKENED)) is not None:
        sys.meta_path.insert(0, Weakener(**json.loads(change)))


class Nursery:
    """The process that the others are forked from: started by ``with``, ended at the end of the block."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", __name__]
        self._process = subprocess.Popen(
            command, cwd=self._root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)

    def run(self, arguments: Sequence[str], env: Mapping[str, str], folder: Path, weak: Any = None) -> tuple[int, str]:
        """Run pytest with `arguments` in a fork; return its exit code and what it wrote.

        `weak` has the change: ``file`` below the root, ``old`` (there once), ``new``; ``None`` is the build as it is.
        `env` is added to the environment. `folder` is empty, and the caller's.
        """
        env = dict(env)
        if weak is not None:
            env |= {WEAKENED: _change(weak), "PYTHONPATH": str(folder)}
            (folder / "sitecustomize.py").write_text(Path(__file__).read_text() + "\n\nweaken_imports()\n")
        output = folder / "output"
        asked = {"arguments": list(arguments), "env": env, "output": str(output)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        return int(self._process.stdout.readline()), output.read_text(errors="replace")


def _change(weak: Any) -> str:
    package, *rest = Path(weak.file).with_suffix("").parts
    module = ".".join([{"server": "meshcache_server"}.get(package, package), *rest])
    return json.dumps({"module": module, "old": weak.old, "new": weak.new})


def main() -> None:
    """Fork once for each line of standard input and answer with the exit code, until there are no more lines."""
    for name in NOT_OURS:
        __import__(name)
    assert "meshcache" not in sys.modules
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(**asked)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)


def _run(arguments: list[str], env: dict[str, str], output: str) -> None:
    code = os.EX_SOFTWARE  # none of pytest's
    try:
        nothing, log = os.open(os.devnull, os.O_RDONLY), os.open(output, os.O_WRONLY | os.O_CREAT, 0o600)
        for number, to in ((0, nothing), (1, log), (2, log)):
            os.dup2(to, number)
        os.environ.update(env)
        weaken_imports()
        import pytest

        code = int(pytest.main(arguments))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
