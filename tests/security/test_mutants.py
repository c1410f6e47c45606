"""The tests can fail: each weakened build of meshcache is noticed by the test that is there for it.

The build is the package with one line changed; the test runs in a process of its own that never had the unchanged one.
No test of these is left to chance: random worlds find what nobody thought of, and prove no border watched.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.mutants import MUTANTS, Mutant
from tests.security.weakened import Nursery
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery(ROOT) as made:
        yield made


@pytest.mark.harness
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_weakened_build_is_noticed(mutant: Mutant, nursery: Nursery, folder: Path) -> None:
    code, output = _run(nursery, folder, mutant.noticed_by, weak=mutant, patience_s=10)
    assert code == pytest.ExitCode.TESTS_FAILED, output[-3000:]
    assert f"FAILED {mutant.noticed_by.partition('::')[0]}" in output, output[-3000:]


@pytest.mark.harness
def test_the_build_as_it_is_passes_each_of_these_tests(nursery: Nursery, folder: Path) -> None:
    """Or a test that always fails would notice everything."""
    code, output = _run(nursery, folder, *sorted({mutant.noticed_by for mutant in MUTANTS}))
    assert code == pytest.ExitCode.OK, output[-3000:]


def _run(
    nursery: Nursery, folder: Path, *tests: str, weak: Mutant | None = None, patience_s: float = PATIENCE_S
) -> tuple[int, str]:
    env = {"CI": "1", "PATIENCE_S": str(patience_s)}
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "--timeout", "60", *tests]
    return nursery.run(arguments, env, folder, weak)


def test_each_mutant_names_code_that_is_there() -> None:
    for mutant in MUTANTS:
        assert (ROOT / mutant.file).read_text().count(mutant.old) == 1, mutant.name
        assert (ROOT / mutant.noticed_by.partition("::")[0]).exists(), mutant.name
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
