"""docs/command-line.md names every command and every option, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from meshcache.cli.main import COMMANDS, cli
from meshcache.cli.starter import SECOND_NODE

PAGE = (Path(__file__).parents[2] / "docs/command-line.md").read_text()


def commands(group: click.Group, name: str = "meshcache") -> Iterator[tuple[str, click.Command]]:
    with click.Context(group) as context:
        for each in group.list_commands(context):
            command = group.get_command(context, each)
            assert command is not None
            if isinstance(command, click.Group):
                yield from commands(command, f"{name} {each}")
            else:
                yield f"{name} {each}", command


def test_every_command_is_named() -> None:
    assert {name.split()[1] for name, _ in commands(cli)} == set(COMMANDS)
    for name, _ in commands(cli):
        assert name in PAGE


def test_every_option_is_named_and_none_that_does_not_exist() -> None:
    options = {option for _, command in commands(cli) for parameter in command.params for option in parameter.opts}
    flags = {option for option in options if option.startswith("--")}
    assert set(re.findall(r"--[a-z]+(?:-[a-z]+)*", PAGE.replace("--unix-socket", ""))) - {"--help"} == flags


def test_the_second_terminal_is_as_init_says() -> None:
    assert "meshcache serve " + " ".join(f"--set {override}" for override in SECOND_NODE) in PAGE
