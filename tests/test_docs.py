"""The documentation holds together: links lead somewhere, commands and options exist, Python in it compiles."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from meshcache.cli.main import COMMANDS, cli
from meshcache.config.changes import RESTART_ONLY

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def commands(page: Path) -> list[list[str]]:
    """The words of each ``meshcache …`` that stands in an indented line or in backquotes."""
    text = page.read_text().replace("\\\n", " ")
    lines = re.findall(r"^    .*?\b(meshcache .*)$", text, re.MULTILINE) + re.findall(r"`(meshcache [^`]+)`", text)
    return [re.split(r"\s{2,}#|\||&", line)[0].split() for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert not [target for target in targets if not (page.parent / target).exists()]


def test_every_command_that_a_message_or_a_docstring_names_exists() -> None:
    sources = [*(ROOT / "meshcache").rglob("*.py"), *(ROOT / "server").rglob("*.py")]
    found = {words for path in sources for words in re.findall(r"`meshcache ([a-z]+)(?: ([a-z]+))?", path.read_text())}
    assert ("tickets", "agent") in found
    for word, second in found:
        assert word in COMMANDS, word
        group = getattr(cli.get_command(None, word), "commands", {second: None})  # type: ignore[arg-type]
        assert second in ("", *group), f"{word} {second}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_exists(page: Path) -> None:
    for words in commands(page):
        if len(words) < 2 or words[1].startswith(("-", "…")) or not re.fullmatch(r"[a-z]+", words[1]):
            continue
        assert words[1] in COMMANDS, " ".join(words)
        command = cli.get_command(None, words[1])  # type: ignore[arg-type]
        group = getattr(command, "commands", {})
        parts = [command, *(group[word] for word in words[2:3] if word in group)]
        known = {option for part in parts for each in part.params for option in each.opts} | {"--help"}
        assert {word for word in words[2:] if re.fullmatch(r"--[a-z-]+", word)} <= known, " ".join(words)


def test_the_page_of_the_server_names_all_that_needs_a_restart() -> None:
    (paragraph,) = re.findall(r"`node\.\*`.*? need a restart", (ROOT / "docs/server.md").read_text(), re.DOTALL)
    told = {key.removesuffix("*") for key in re.findall(r"`([\w.*]+)`", paragraph)}
    assert told == set(RESTART_ONLY)


def test_pictures_are_there_small_and_load_nothing() -> None:
    shown = {path for page in PAGES for path in re.findall(r'(?:src|srcset)="([^"]+)"', page.read_text())}
    assert shown
    assert not [path for path in shown if not (ROOT / path).exists()]
    taken = list((ROOT / "docs/pictures").iterdir())
    assert not [path.name for path in taken if path.stat().st_size > 200_000]
    vector = [path.read_text() for path in taken if path.suffix == ".svg"]
    assert not [reference for text in vector for reference in re.findall(r"(?:href|src)=|url\((?!#)[^)]*\)", text)]


def test_the_python_in_the_readme_compiles() -> None:
    blocks = re.findall(r"(?:^    .*\n|^\n)+", (ROOT / "README.md").read_text(), re.MULTILINE)
    programs = [textwrap.dedent(block) for block in blocks if "import meshcache" in block]
    assert programs
    for program in programs:
        ast.parse(program)


def test_every_page_is_listed_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert not {page for page in pages if f"({page})" not in index}


def test_the_manual_page_is_what_the_commands_say_and_roff_takes_it() -> None:
    made = subprocess.run([sys.executable, ROOT / "tools/make_man.py", "--check"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    page = ["groff", "-man", "-ww", "-z", "-Kutf8", ROOT / "docs/meshcache.1"]
    assert subprocess.run(page, capture_output=True, text=True).stderr == ""


def test_the_glossary_has_only_words_that_the_code_has() -> None:
    """Each is in the sources, and of each row one at least, or its last word, names something there."""
    texts, names = _sources()
    words = [[re.sub(r"[ -]+", " ", word).lower() for word in row.split(", ")] for row in _rows()]
    assert len(words) > 30
    assert not [word for row in words for word in row if not _has(texts, word)]
    assert not [row for row in words if not any(_has(names, word.split()[-1]) for word in row)]


OF_THE_FIELD = """
address advertised announcement auth authenticator batch bucket cache certificate client connection dialler discovery
drop edge entry envelope fetch flood health heartbeat hello inbox limit link listener liveness lookup member message
mode offer path ping pong port query readiness refusal refuse reply resume resumption retention retry scratch seed
setup shortage sleep slot store table telemetry template traffic transport version watch

anomaly attachment callback caller change check collector constant controller core counter decoder end error event
exchange export facts field figure file finding folder force front function handler histogram identity image internals
kind library list load lock loop map mapping note observer outcome overlay pending piece place plan plugin predecessor
question queue range reader result rng runner schedule scope sealer security setting side source spec start state stats
status step surroundings sweep tally turn update way

ask attached behind c closable collecting debouncer down find forkable found held home joining kept leave like made
named out outgoing read rendered seen serving unkept up wait wanted warming
"""
"""What names of classes end in and nobody looks up: words of networks and databases, words of programs, and parts of
speech that say something with what is before them, as in `CatchUp`. All else stands in the glossary."""

SHOWN_ONLY = ("demo", "cli", "contrib")
"""Rooms without words of their own: they show what the others do."""


def test_what_a_class_is_called_is_a_word_of_the_field_or_of_the_glossary() -> None:
    terms = _words(" ".join(_rows()) + " " + " ".join(re.findall(r"\*([\w -]+)\*", _GLOSSARY)).replace(",", " "))
    known = {form for word in re.findall(r"\w+", terms) for form in _forms(word)} | set(OF_THE_FIELD.split())
    lasts = {name: _forms(_words(name).split()[-1]) for name in _class_names()}
    assert not {name for name, forms in lasts.items() if not known & forms}
    assert not set(OF_THE_FIELD.split()) - set().union(*lasts.values()), "no class ends in these any more"


def test_forms_of_a_word_are_found() -> None:
    found = {"pulling": "pull", "entries": "entry", "permitted": "permit", "serving": "serve", "fetcher": "fetch"}
    assert not [word for word, plain in found.items() if plain not in _forms(word)]
    assert "tie" not in _forms("tier")


_GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()


def _rows() -> list[str]:
    return re.findall(r"^\| ([^|]+) \|", _GLOSSARY, re.MULTILINE)[2:]


def _forms(word: str) -> set[str]:
    """A word, and what it may be a form of."""
    forms = {word, word.removesuffix("s"), word.removesuffix("es"), re.sub("ies$", "y", word)}
    for each in list(forms):
        stem = re.sub("(ing|ed|er)$", "", each)
        if len(stem) > 2 and stem != each:
            forms |= {stem, stem + "e", re.sub(r"(.)\1$", r"\1", stem)}
    return forms


def _class_names() -> set[str]:
    """Names of public classes, events left out: those say what happened, to whom."""
    paths = [path for path in (ROOT / "meshcache").rglob("*.py") if path.name != "events.py"]
    return {
        node.name
        for path in paths
        if path.relative_to(ROOT / "meshcache").parts[0] not in SHOWN_ONLY
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }


def _has(text: str, word: str) -> bool:
    return re.search(rf"\b{word}(s|es)?\b", text) is not None


def _sources() -> tuple[str, str]:
    """All sources as running words, and the names in Python's: of modules, functions, classes, arguments, variables."""
    paths = [
        path for top in ("meshcache", "server") for path in (ROOT / top).rglob("*") if path.suffix in (".py", ".c")
    ]
    names = {path.stem for path in paths}
    for path in paths:
        if path.suffix == ".py":
            for node in ast.walk(ast.parse(path.read_text())):
                names |= {getattr(node, field, None) or "" for field in ("name", "id", "attr", "arg")}
    return _words(" ".join(path.read_text() for path in paths)), _words(" | ".join(map(str, sorted(names, key=str))))


def _words(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", text)).lower()
