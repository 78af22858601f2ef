"""A server's answer to ``ROLE``, and the objection to an edge there. Pure.

An edge belongs to the primary: a replica hears events late, or never once replication has ended, and a loop through a
replica proves nothing about producers (https://redis.io/docs/latest/commands/role/).
"""

from typing import Any

__all__ = ["is_untold", "misplaced"]


def misplaced(answer: Any) -> str | None:
    """Return the objection to a server with this answer; None for a primary, and for an unknown answer."""
    # decisions/0050: a read replica is refused, too. An edge there could write neither its entry nor marks of forks,
    # and would tell clients that nothing is missing by a log that lags.
    match answer:
        case [b"slave", bytes(host), int(port), *_]:
            primary = f"{host.decode(errors='replace')}:{port}"
            return (
                f"is a replica of {primary}, and an edge needs the primary, to which producers publish: "
                "name that one, or let sentinels find it (redis+sentinel://)"
            )
        case [b"sentinel", *_]:
            return "is a sentinel: write redis+sentinel://host:port/name-of-the-primary"
    return None


def is_untold(answer: str) -> bool:
    """Tell whether an error means that this user, or this server, has no ``ROLE``."""
    return answer.startswith("NOPERM") or "unknown command" in answer.lower()
