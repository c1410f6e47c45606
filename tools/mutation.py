"""Mutation testing of what decides borders: every small change of that code has to be noticed by a test.

    make mutation                       GONE_THROUGH; about fifteen minutes on two cores
    make mutation ARGS="gates scope"    only these, of MODULES
    make mutation ARGS="--list gates"   and each survivor as a row of tests/security/SURVIVORS.md

mutmut makes the changes, in a copy of this tree. What survives must stand in tests/security/SURVIVORS.md with the
reason why no test can or need notice it; anything else makes this fail.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
EXPLAINED = ROOT / "tests" / "security" / "SURVIVORS.md"

POLICY = ["tests/core/policy", "tests/security/test_borders.py"]

WITHDRAWS = ["tests/core/control/test_withdraws.py", "tests/core/control/test_withdraw_details.py"]

LOOKUP = [
    *(f"tests/tls/test_{what}.py" for what in ("lookup", "counting", "ordinary", "revalidate", "identities", "hello")),
    "tests/runtime/lookups/test_asking.py",
]

MODULES = {
    "gates": ("meshcache/core/policy/gates.py", POLICY),
    "scope": ("meshcache/core/policy/scope.py", POLICY),
    "digest_parts": ("meshcache/core/policy/digest_parts.py", POLICY),
    "intake": (
        "meshcache/core/replication/intake.py",
        [
            *(
                f"tests/core/replication/test_{what}.py"
                for what in ("intake", "intake_details", "relaying", "awaiting", "tiering", "hand_over")
            ),
            "tests/core/control/test_recall.py",
            *WITHDRAWS,
        ],
    ),
    "local_sessions": (
        "meshcache/core/replication/local_sessions.py",
        [
            *(f"tests/core/replication/test_{what}.py" for what in ("local_sessions", "tiering")),
            *WITHDRAWS,
            "tests/security/test_borders.py",
        ],
    ),
    "vip_cache": ("meshcache/core/cache/vip_cache.py", ["tests/core/cache"]),
    "withdraws": ("meshcache/core/control/withdraws.py", WITHDRAWS),
    "lookup": ("meshcache/tls/lookup.py", LOOKUP),
}
"""Each with the tests that are there for it; mutmut runs for each function the ones that call it."""

GONE_THROUGH = tuple(MODULES)
"""Those whose survivors are all killed or explained, which run when none is named."""

COPIED = (
    "meshcache",
    "server",
    "tests",
    "fuzz",
    "examples",
    "benchmarks",
    "docs",
    "tools",
    "pyproject.toml",
    "README.md",
)

_SETTINGS = """
[tool.mutmut]
source_paths = ["meshcache"]
only_mutate = {modules}
also_copy = ["server", "fuzz", "examples", "benchmarks", "docs", "tools", "README.md"]
pytest_add_cli_args = ["-n0", "-p", "no:cacheprovider", "-p", "tests.support.fresh_callbacks"]
pytest_add_cli_args_test_selection = {tests}
use_git_change_detection = false
"""


class Survivor(NamedTuple):
    """A change that no test noticed: of which module and function, and the first line that differs."""

    module: str
    function: str
    was: str
    became: str

    @property
    def row(self) -> str:
        return f"| {self.module} | {self.function} | `{self.was}` | `{self.became}` |"


def main(arguments: list[str]) -> int:
    """0 when each survivor is explained."""
    names = [name for name in arguments if not name.startswith("-")] or list(GONE_THROUGH)
    survivors: list[Survivor] = []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="meshcache-mutation-") as folder:
            _copy(Path(folder), *MODULES[name])
            _said(Path(folder), "run", "--max-children", "1")
            survivors += sorted(set(_survivors(Path(folder))))
    listed = explained()
    new = [survivor for survivor in survivors if survivor not in listed]
    rows = [survivor.row for survivor in (survivors if "--list" in arguments else new)]
    sys.stdout.write("\n".join([*rows, ""]))
    sys.stdout.write(
        f"{', '.join(names)}: {len(survivors)} survived, {len(new)} of them not explained in {EXPLAINED.name}\n"
    )
    return 1 if new else 0


def explained() -> set[Survivor]:
    """The survivors that stand in the page; what is behind the last column is for people."""
    rows = (
        re.match(r"\| (\S+) \| (\S+) \| `(.*?)` \| `(.*?)` \|", line) for line in EXPLAINED.read_text().splitlines()
    )
    return {Survivor(*row.groups()) for row in rows if row}


def _mutmut() -> list[str]:
    return [str(Path(sys.executable).parent / "mutmut")]


def _copy(folder: Path, module: str, tests: list[str]) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("found", "__pycache__", "*.so"))
        else:
            shutil.copy(source, folder / name)
    with (folder / "pyproject.toml").open("a") as settings:
        settings.write(_SETTINGS.format(modules=[module], tests=tests))


def _survivors(folder: Path) -> Iterator[Survivor]:
    lines = _said(folder, "results").splitlines()
    for name in (line.partition(":")[0].strip() for line in lines if line.endswith(": survived")):
        module, _, mangled = name.rpartition(".")
        function = re.sub(r"__mutmut_\d+$", "", mangled).removeprefix("xǁ").removeprefix("x_").replace("ǁ", ".")
        diff = [line for line in _said(folder, "show", name).splitlines() if re.match(r"[-+](?![-+])", line)]
        was, became = (next((line[1:].strip() for line in diff if line[0] == sign), "") for sign in "-+")
        yield Survivor(
            module.rpartition(".")[2], function, *(text.replace("|", "/").replace("`", "'") for text in (was, became))
        )


def _said(folder: Path, *arguments: str) -> str:
    done = subprocess.run([*_mutmut(), *arguments], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"mutmut {' '.join(arguments)} failed:\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
