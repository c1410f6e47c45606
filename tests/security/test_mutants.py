"""The tests can fail: each weakened build of meshcache is noticed by the test that is there for it.

The build is a copy of the package with one line changed; the test runs in a process of its own with nothing else of
this tree on its path. No test of these is left to chance: random worlds find what nobody thought of, and prove no
border watched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.security.mutants import MUTANTS, Mutant
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
COPIED = ("meshcache", "server", "tests", "fuzz", "pyproject.toml")
TEST_S_MAX = 240.0


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_weakened_build_is_noticed(mutant: Mutant, folder: Path) -> None:
    _copy(folder)
    weak = folder / mutant.file
    source = weak.read_text()
    assert source.count(mutant.old) == 1, f"{mutant.file} has changed: mend tests/security/mutants.py"
    weak.write_text(source.replace(mutant.old, mutant.new))
    for compiled in (weak.parent / "__pycache__").glob(f"{weak.stem}.*"):
        compiled.unlink()  # the others are as good as their sources, whose times are copied too
    code, output = _run(folder, mutant.noticed_by, patience_s=10)
    assert code == pytest.ExitCode.TESTS_FAILED, output[-3000:]
    assert f"FAILED {mutant.noticed_by.partition('::')[0]}" in output, output[-3000:]


def test_the_build_as_it_is_passes_each_of_these_tests(folder: Path) -> None:
    """Or a test that always fails would notice everything."""
    _copy(folder)
    code, output = _run(folder, *sorted({mutant.noticed_by for mutant in MUTANTS}))
    assert code == pytest.ExitCode.OK, output[-3000:]


def _copy(folder: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("found"))
        else:
            shutil.copy(source, folder / name)
    (folder / "meshcache_server").symlink_to("server")


def _run(folder: Path, *tests: str, patience_s: float = PATIENCE_S) -> tuple[int, str]:
    env = os.environ | {"PYTHONPATH": str(folder), "CI": "1", "PATIENCE_S": str(patience_s)}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--timeout", "60", *tests]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=TEST_S_MAX, check=False)
    return done.returncode, done.stdout + done.stderr


def test_each_mutant_names_code_that_is_there() -> None:
    for mutant in MUTANTS:
        assert (ROOT / mutant.file).read_text().count(mutant.old) == 1, mutant.name
        assert (ROOT / mutant.noticed_by.partition("::")[0]).exists(), mutant.name
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
