"""`meshcache completion`: what a shell has to run so that Tab completes commands, options, files and pages."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    bash, in ~/.bashrc: eval "$(meshcache completion bash)". zsh, in ~/.zshrc: eval "$(meshcache completion zsh)".
    fish, once: meshcache completion fish >~/.config/fish/completions/meshcache.fish.
    """
    from meshcache.cli.main import cli

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(cli, {}, "meshcache", "_MESHCACHE_COMPLETE").source())
