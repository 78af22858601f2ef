"""``edgebus token``: the arguments of make, check and revoke."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from edgebus.commands.options import ConfigOption, JsonOption, MoreOption, RedisOption, redis_url
from edgebus.edge_line import setting_pairs
from edgebus.terminal import Exit, exit_with, exits, show

__all__ = ["check", "make", "revoke"]


def make(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    permissions: Annotated[list[str] | None, typer.Argument(help="Such as workflow:read, mahavishnu:read.")] = None,
    *,
    expires_in: Annotated[int, typer.Option(min=1, metavar="SECONDS", help="How long it lives.")] = 3600,
    key: Annotated[Path | None, typer.Option(help="PEM file with the private key; else the edge's secret.")] = None,
    kid: Annotated[str | None, typer.Option(help="Name of the key in the issuer's JWKS.")] = None,
    token_id: Annotated[str | None, typer.Option("--id", help="Its jti; else a random one.")] = None,
    config: ConfigOption = None,
    more: MoreOption = None,
) -> None:
    """Print a token, signed with EDGEBUS_AUTH_SECRET or a private key; for tests and for first steps."""
    from edgebus.commands import tokens
    from edges import EdgeSettings

    with exits():
        made = tokens.make(
            EdgeSettings.load(config, setting_pairs(more or [])),
            user=user,
            permissions=permissions or [],
            lives_s=expires_in,
            key_file=key,
            kid=kid,
            token_id=token_id,
        )
        show(made)


def check(
    text: Annotated[str, typer.Argument(metavar="TOKEN", help="The token, or - for standard input.")] = "-",
    *,
    config: ConfigOption = None,
    more: MoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a token claims, and what an edge with these settings says of it; ends with 1 if it is refused."""
    from edgebus.commands import tokens
    from edgebus.run import run
    from edges import EdgeSettings

    with exits():
        settings = EdgeSettings.load(config, setting_pairs(more or []))
        shown = sys.stdin.read() if text == "-" else text
        is_taken = run(tokens.check(settings, shown.strip(), as_json=as_json))
    raise typer.Exit(Exit.OK if is_taken else Exit.FAILED)


def revoke(
    *,
    user: Annotated[str | None, typer.Option(help="Every token that this user was given until now.")] = None,
    token_id: Annotated[str | None, typer.Option("--id", help="The one token with this jti.")] = None,
    redis: RedisOption = None,
) -> None:
    """Make every edge close who is in by these tokens, and take them no more."""
    from bus.redis.revocation import of_token, of_user
    from edgebus.commands import tokens
    from edgebus.run import run

    with exits():
        if user and not token_id:
            member = of_user(user)
        elif token_id and not user:
            member = of_token(token_id)
        else:
            exit_with(Exit.USAGE, "give --user or --id, one of them")
        run(tokens.revoke(redis_url(redis), member))
