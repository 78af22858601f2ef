"""What a server says of itself when asked for its ``ROLE``. Pure.

An edge belongs to the primary: a replica hears what producers publish late, or not at all once nothing is replicated
any more, and a loop through it proves nothing about producers (https://redis.io/docs/latest/commands/role/).
"""

from typing import Any

__all__ = ["is_untold", "misplaced"]


def misplaced(answer: Any) -> str | None:
    """Return why a server that answered so is none for an edge; None: it is a primary, or its answer says nothing."""
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
    """Tell whether an error says that this user, or this server, has no ``ROLE`` to ask for."""
    return answer.startswith("NOPERM") or "unknown command" in answer.lower()
