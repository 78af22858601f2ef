"""The command line before its commands: what all share, and the way of ``edgebus edge``, which needs no other."""

from typing import Annotated, Final

import typer

from edgebus import __version__
from edgebus.terminal import Exit, show

__all__ = ["PLAIN", "front", "only_edge"]

PLAIN: Final = None
"""The look of help. The boxes of rich take longer to load than all other parts of ``--help``."""


def front() -> typer.Typer:
    """Return ``edgebus`` without a command."""
    app = typer.Typer(
        name="edgebus",
        help="One event bus on Redis, and WebSocket edges that carry it to screens.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=PLAIN,
        context_settings={"max_content_width": 120},
    )
    app.callback(invoke_without_command=True)(_root)
    return app


def _root(*, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        show(f"edgebus {__version__}")
        raise typer.Exit(Exit.OK)


def only_edge() -> None:
    """Run ``edgebus edge …``, as ``cli.main`` would with all commands."""
    # Forty commands are imported and their options composed in a tenth of the time until an edge listens.
    from edgebus.commands.edge import edge

    app = front()
    app.command()(edge)
    app()
