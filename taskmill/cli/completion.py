"""``taskmill completion``: what makes a shell complete the commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, /, *, shell: str) -> None:
    r"""Print the script for completion in a shell.

    \b
    bash: taskmill completion bash >> ~/.bashrc
    zsh:  taskmill completion zsh >> ~/.zshrc
    fish: taskmill completion fish > ~/.config/fish/completions/taskmill.fish
    """
    script = get_completion_class(shell)
    if script is None:
        raise click.UsageError(f"this click knows no completion for {shell}")
    root = context.find_root().command
    click.echo(script(root, {}, "taskmill", "_TASKMILL_COMPLETE").source())
