"""``edgebus broker``: its arguments."""

from pathlib import Path
from typing import Annotated

import typer

from edgebus.terminal import exits

__all__ = ["broker"]


def broker(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 6390,
    directory: Annotated[Path | None, typer.Option("--dir", help="Keep the data here.")] = None,
) -> None:
    """Run a Redis server of our own (Valkey), until told to stop."""
    from edgebus.run import run
    from edgebus.serving import serve_broker

    with exits():
        run(serve_broker(port, directory))
