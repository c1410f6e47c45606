"""`meshcache docs`: the pages and files that came with this version, of which `docs/index.md` is the list.

Reads only what that list names; no argument becomes a path.
"""

from __future__ import annotations

import re
import shutil
import sys
from difflib import get_close_matches
from importlib.metadata import metadata
from pathlib import Path
from typing import Final, NamedTuple

import click

from meshcache.cli.output import Column, colours, print_table

_ROW: Final = re.compile(r"^\| \[([^\]]+)\]\(([^)]+)\) \| (.+) \|$", re.MULTILINE)


class Page(NamedTuple):
    """A page or a file: what it is called, where it is below docs/, what it is for."""

    name: str
    path: str
    purpose: str


README: Final = Page("readme", "README.md", "what it is, and a tour")


def pages() -> dict[str, Page]:
    """Return all of them by name, in the order of the list."""
    rows = _ROW.findall((_folder() / "index.md").read_text("utf-8"))
    found = [README, *(Page(_name(path), path, _plain(purpose)) for _, path, purpose in rows)]
    return {page.name: page for page in found}


def _found(ctx: click.Context, param: click.Parameter, value: str | None) -> Page | None:
    if value is None:
        return None
    known = pages()
    page = known.get(value) or known.get(value.removesuffix(".md").lower())
    if page is None:
        close = get_close_matches(value, known, n=1)
        meant = f'; did you mean "{close[0]}"?' if close else ""
        raise click.BadParameter(f'there is no page "{value}"{meant}', ctx, param)
    return page


def _complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in pages() if name.startswith(incomplete)]


@click.command("docs")
@click.argument("page", metavar="[PAGE]", callback=_found, shell_complete=_complete, required=False)
def docs(page: Page | None) -> None:
    """Show a page of the documentation, or a file that comes with it; without PAGE, list them.

    On a terminal a page is laid out and paged. In a pipe it is the text as it is, so that
    `meshcache docs meshcache.service >/etc/systemd/system/meshcache.service` installs the unit.
    """
    if page is None:
        print_table([Column("PAGE"), Column("for")], [[each.name, each.purpose] for each in pages().values()])
        return
    text = _text(page)
    if sys.stdout.isatty():
        click.echo_via_pager(_laid_out(text) if page.path.endswith(".md") else text, color=colours() or None)
    else:
        click.echo(text, nl=False)


def _text(page: Page) -> str:
    """README isn't among the pages: packages carry it as their description."""
    if page is README:
        return str(metadata("meshcache").json["description"])
    return (_folder() / page.path).read_text("utf-8")


def _folder() -> Path:
    """Return the sources' docs/, which pyproject.toml installs as meshcache/pages;
    a checkout used in place has it beside.
    """
    package = Path(__file__).parents[1]
    installed = package / "pages"
    return installed if installed.is_dir() else package.parent / "docs"


def _name(path: str) -> str:
    """`watching` for watching.md, `uvicorn` for servers/uvicorn.md, `alerts.yml` for prometheus/alerts.yml."""
    return path.rpartition("/")[2].removesuffix(".md")


def _plain(text: str) -> str:
    return text.replace("`", "").replace("**", "").replace("*", "")


def _laid_out(text: str) -> str:
    from rich.console import Console
    from rich.markdown import Markdown

    width = min(shutil.get_terminal_size().columns, 110)  # longer lines are hard to follow
    console = Console(width=width, force_terminal=True, no_color=not colours(), legacy_windows=False)
    with console.capture() as capture:
        console.print(Markdown(text, code_theme="ansi_dark", hyperlinks=False))
    return capture.get()
