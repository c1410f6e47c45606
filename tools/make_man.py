"""Makes the manual page from the command line's own definition: `docs/meshcache.1`.

    .venv/bin/python tools/make_man.py            writes it
    .venv/bin/python tools/make_man.py --check    says whether it is what the commands say today

Everything about commands and options comes from click. What no command knows of itself, such as files and variables,
stands here.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click

from meshcache.cli.main import COMMANDS, cli

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "meshcache.1"

EXIT_CODES = (
    ("0", "Fine."),
    ("1", "Failed, or no node answers."),
    ("2", "Usage or configuration; nothing was started or changed."),
    ("3", "Degraded: doctor found a problem, or another node lacks a change."),
)
VARIABLES = (
    ("MESHCACHE_SOCKET", "The admin socket of the node that is asked, unless --socket names one."),
    ("MESHCACHE_PURE", "With 1, handshakes are answered by Python, not by the compiled hot path."),
    ("CREDENTIALS_DIRECTORY", "Where systemd puts what LoadCredential= names; a path in the file may begin with it."),
    ("NO_COLOR", "With any value, no colours."),
)
FILES = (
    ("meshcache.toml", "The configuration: in the current folder, unless another is named."),
    ("mesh.key", "The mesh key. Whoever has it is a member: mode 0600."),
    ("state/NAME/", "What must survive a restart, and admin.sock, which other commands ask."),
)
EXAMPLES = (
    ("Two servers on one machine, each in a terminal of its own:", None),
    (None, "meshcache init"),
    (None, "meshcache serve"),
    (
        None,
        "meshcache serve --set node.name=edge-2 --set mesh.listen=127.0.0.1:7947 --set vip.shop.listen=127.0.0.1:8444",
    ),
    ("How clients resume, on all nodes:", None),
    (None, "meshcache stats --mesh"),
    ("Keep the sessions of a VIP on the server where they were made:", None),
    (None, "meshcache policy set shop reach=server"),
)


def main(arguments: list[str]) -> int:
    """Write the page, or compare it; the exit code is 1 for a stale one."""
    page = "\n".join(lines()) + "\n"
    if "--check" not in arguments:
        PAGE.write_text(page)
    elif not PAGE.exists() or PAGE.read_text() != page:
        sys.stderr.write(f"{PAGE.relative_to(ROOT)} is stale: run tools/make_man.py\n")
        return 1
    return 0


def lines() -> Iterator[str]:
    """The page in man(7), the same for the same commands."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    yield f'.TH MESHCACHE 1 "" "meshcache {version}" "User Commands"'
    yield from (".SH NAME", r"meshcache \- TLS sessions that resume on every server behind a VIP")
    yield from (".SH SYNOPSIS", r".B meshcache", r"\fICOMMAND\fR [\fIOPTION\fR]... [\fIARGUMENT\fR]...")
    yield ".SH DESCRIPTION"
    yield from paragraphs(cli.help or "")
    yield ".SH COMMANDS"
    for name, command in all_commands(cli):
        yield from section(name, command)
    yield from (".SH EXIT STATUS", *terms(EXIT_CODES), ".SH ENVIRONMENT", *terms(VARIABLES), ".SH FILES", *terms(FILES))
    yield ".SH EXAMPLES"
    for said, typed in EXAMPLES:
        yield from (".PP", escaped(said)) if said else (".PP", ".RS 4", ".nf", escaped(typed or ""), ".fi", ".RE")
    yield from (
        ".SH SEE ALSO",
        r"All pages of the documentation: \fBmeshcache docs\fR.",
        ".BR openssl (1),",
        ".BR systemd.exec (5)",
    )


def all_commands(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by all its words, in the order of the list."""
    with click.Context(group) as context:
        for name in COMMANDS if group is cli else group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            if isinstance(command, click.Group):
                yield from all_commands(command, f"{above}{name} ")
            else:
                yield f"{above}{name}", command


def section(name: str, command: click.Command) -> Iterator[str]:
    """One command: how it is called, what it does, its options."""
    with click.Context(command, info_name=f"meshcache {name}") as context:
        usage = " ".join(piece for piece in command.collect_usage_pieces(context))
        options = [
            record
            for each in command.params
            if isinstance(each, click.Option) and (record := each.get_help_record(context))
        ]
    yield from (f".SS {name}", rf"\fBmeshcache {escaped(name)}\fR {escaped(usage)}".rstrip(), ".PP")
    yield from paragraphs(command.help or "")
    yield from terms(options)


def terms(pairs: Iterator[tuple[str, str]] | tuple[tuple[str, str], ...] | list[tuple[str, str]]) -> Iterator[str]:
    """A list of words, each with what it means."""
    for word, meaning in pairs:
        yield from (".TP", rf"\fB{escaped(word)}\fR", escaped(" ".join(meaning.split())))


def paragraphs(text: str) -> Iterator[str]:
    """A docstring's paragraphs; `\\b` keeps click from joining lines, and roff likewise."""
    for i, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if i:
            yield ".PP"
        if paragraph.startswith("\b"):
            yield from (".nf", *map(escaped, paragraph.split("\n")[1:]), ".fi")
        else:
            yield escaped(" ".join(paragraph.split()))


def escaped(text: str) -> str:
    """Text that roff prints as it is: a dash that can be copied, no request by accident."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("…", "...").replace("`", "")
    return rf"\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
