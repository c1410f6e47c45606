"""`meshcache docs`: the list and the pages, and that no argument reaches another file."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from meshcache.cli.docs import docs, pages

FOLDER = Path(__file__).parents[2] / "docs"


def test_every_page_and_file_is_listed_with_what_it_is_for() -> None:
    listed = CliRunner().invoke(docs).output
    assert all(f"{page.name} " in listed and page.purpose in listed for page in pages().values())
    there = {
        str(path.relative_to(FOLDER))
        for path in FOLDER.rglob("*")
        if path.suffix in (".md", ".yaml", ".yml", ".json", ".toml")
    }
    assert {page.path for page in pages().values()} == there - {"index.md"} | {"README.md"} | {
        "meshcache.service",
        "meshcache-tickets.service",
        "meshcache.socket",
        "meshcache.1",
    }


@pytest.mark.parametrize("name", ["keys", "keys.md", "Keys", "uvicorn", "alerts.yml", "meshcache.1"])
def test_in_a_pipe_a_page_is_its_text(name: str) -> None:
    page = pages()[name.lower().removesuffix(".md")]
    assert CliRunner().invoke(docs, [name]).output == (FOLDER / page.path).read_text()


def test_the_readme_is_the_one_of_the_package() -> None:
    assert CliRunner().invoke(docs, ["README"]).output.startswith("# meshcache\n")


@pytest.mark.parametrize("name", ["watchng", "../README", "/etc/hostname", "servers/../index.md", ""])
def test_what_is_not_listed_is_a_fault_that_names_what_is_meant(name: str) -> None:
    outcome = CliRunner().invoke(docs, [name])
    assert outcome.exit_code == 2
    assert f'there is no page "{name}"' in outcome.output
    assert ('did you mean "watching"' in outcome.output) is (name == "watchng")
