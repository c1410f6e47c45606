"""The `meshcache` command itself: its list of subcommands, and what every failure looks like and exits with.

Exit codes: 0 fine, 1 failed or unreachable, 2 usage or configuration, 3 degraded. Does no work of its own and imports
no subcommand before it is used, so that `meshcache --help` is quick.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NamedTuple

import click

from meshcache.cli.output import clean
from meshcache.errors import AdminError, ConfigError, KeyringError, MeshcacheError, PolicyError

FAILED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130
"""What a shell reports for a process that ended by SIGINT: 128 + 2."""


class Subcommand(NamedTuple):
    """Where a subcommand is found, and its line in the list, which must not need the import."""

    module: str
    attribute: str
    help: str


COMMANDS: Final = {
    "demo": Subcommand("demo", "demo", "A whole mesh on this machine, real clients, a verdict."),
    "init": Subcommand("init", "init", "Write a configuration, a mesh key, a test certificate."),
    "serve": Subcommand("serve", "serve", "Run the server that a file describes."),
    "reload": Subcommand("reload", "reload_file", "Let a running server take its file again."),
    "check": Subcommand("check", "check", "Say what is wrong with a file, and everything it points at."),
    "stats": Subcommand("stats", "stats", "How a node's clients resume, now or as it goes."),
    "peers": Subcommand("peers", "peers", "The other nodes, as one node sees them."),
    "events": Subcommand("events", "events", "What happened on a node, and what happens now."),
    "policy": Subcommand("policy", "policy", "Where each VIP's sessions may go."),
    "sessions": Subcommand("sessions", "sessions", "Forget sessions, on every node."),
    "tickets": Subcommand("tickets", "tickets", "The keys of session tickets, which the mesh makes."),
    "doctor": Subcommand("doctor", "doctor", "Say what is wrong with this machine, its node and its mesh."),
    "plan": Subcommand("plan", "plan", "Predict traffic, memory and CPU; refuse what will not fit."),
    "key": Subcommand("key", "key", "The key that makes a node a member of the mesh."),
    "docs": Subcommand("docs", "docs", "The documentation, and the files that come with it."),
    "completion": Subcommand("completion", "completion", "What a shell needs to complete commands and options."),
}


class _Commands(click.Group):
    """Finds subcommands by name, in the order of the list above."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature, here and below
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = getattr(import_module(f"meshcache.cli.{entry.module}"), entry.attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise click.UsageError(_unknown(args[0]), ctx)
        return super().resolve_command(ctx, args)


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, COMMANDS, n=1)
    return f'there is no command "{name}"' + (f'; did you mean "{close[0]}"?' if close else "")


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="meshcache", message="%(prog)s %(version)s")
def cli() -> None:
    """TLS sessions that resume on every server behind a VIP.

    Start with `meshcache demo`, or with `meshcache init` for servers of your own.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    if sys.argv[1:2] == ["serve"] or sys.argv[1:3] == [
        "tickets",
        "agent",
    ]:  # before the imports: a SIGHUP meanwhile would end the process
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. A failure is told on standard error, in words."""
    try:
        return int(cli.main(arguments, prog_name="meshcache", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except ConfigError as error:
        _tell_faults(error.faults)
        return MISUSED
    except (KeyringError, PolicyError) as error:
        _tell(str(error))
        return MISUSED
    except BrokenPipeError:
        return _reader_is_gone()
    except AdminError as error:
        _tell(str(error))
        return FAILED
    except MeshcacheError as error:
        _tell(str(error))
        return FAILED


def _tell_faults(faults: Sequence[str]) -> None:
    for fault in faults:
        click.echo(f"  {clean(fault)}", err=True)
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    _tell(f"{count} in the configuration; nothing was done")


def _tell(text: str) -> None:
    click.echo("\n".join(map(clean, f"meshcache: {text}".split("\n"))), err=True)


def _reader_is_gone() -> int:
    """`meshcache stats | head` is no failure of ours; keep Python from complaining when it flushes at exit."""
    sys.stdout = open("/dev/null", "w")  # noqa: SIM115, PTH123 - lives until the process ends
    return FAILED
