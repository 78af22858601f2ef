"""``edgebus cert``: its arguments."""

from pathlib import Path
from typing import Annotated

import typer

from edgebus.terminal import Exit, exit_with, exits

__all__ = ["cert"]


def cert(
    *,
    dev: Annotated[
        bool, typer.Option("--dev", help="One that nobody but you trusts, to try and to test with.")
    ] = False,
    name: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Another name or address of this machine.")
    ] = None,
    directory: Annotated[Path, typer.Option("--dir", help="Where the files go.")] = Path(),
    days: Annotated[int, typer.Option(min=1, max=825, help="How long it is valid.")] = 365,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Make a certificate for wss on this machine, with its key and the authority that clients must trust."""
    from edgebus.commands import certificates

    # `--dev` is typed each time, so that no script takes this for a certificate that others trust.
    if not dev:
        exit_with(
            Exit.USAGE, "cert makes certificates to try only: --dev; for others, get one from an authority they trust"
        )
    with exits():
        certificates.write_dev(directory, extra=name or [], days=days, force=force)
