"""``edgebus acl``: its arguments."""

from typing import Annotated

import typer

from edgebus.commands.options import RedisOption, redis_url
from edgebus.terminal import exits

__all__ = ["acl"]


def acl(
    *,
    service: Annotated[
        str | None, typer.Option("--service", metavar="NAME", help="Users for one service; else for all built-in ones.")
    ] = None,
    given: Annotated[
        list[str] | None, typer.Option("--hash", metavar="ROLE=SHA256", help="Of a password that you have already.")
    ] = None,
    as_file: Annotated[bool, typer.Option("--file", help="Lines for an ACL file, not for redis-cli.")] = False,
    function: Annotated[
        bool, typer.Option("--function", help="Producers load no script; a line loads the function that they call.")
    ] = False,
    redis: RedisOption = None,
) -> None:
    """Print Redis users with the least that each part of the bus needs; nothing is changed by it."""
    from edgebus.catalogue import all_services, find_service
    from edgebus.commands.users import read_hashes, show_users

    # The URL is only printed, for other machines to use: its certificate files need not be on this one.
    with exits():
        chosen = [find_service(service)] if service else all_services()
        show_users(
            chosen,
            narrowed=service is not None,
            by_function=function,
            hashes=read_hashes(given or []),
            url=redis_url(redis, is_for_others=True),
            as_file=as_file,
        )
