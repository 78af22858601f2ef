"""The rights of the dashboard's user in Redis: looks at everything, and publishes on named services' channels.

Pure text, as ``bus.redis.acl``.
"""

from collections.abc import Sequence
from typing import Final

from bus.redis.keys import EDGES_KEY, EPOCH_KEY, REVOKED

__all__ = ["dashboard"]

_OWN: Final = "dashboard-*"
"""Ids of dashboards: each is an edge with an entry and a heartbeat."""
_CONNECTION: Final = "+client|setname +client|info +client|kill +ping +time +role +info +multi +exec"
_LOOKS: Final = (
    "+scan +xlen +xrange +xrevrange +xinfo|stream +pttl +memory|usage +hgetall +hrandfield +zrange +get "
    "+subscribe +unsubscribe"
)
_READ: Final = " ".join(
    f"%R~{key}"
    for key in (
        *(f"bus:{part}:{{*}}" for part in ("log", "forks", "state", "ages", "keys")),
        *("bus:edge:*", "bus:look:*", EDGES_KEY, EPOCH_KEY, REVOKED),
    )
)
_APPENDING: Final = "+xadd +xrange +xrevrange +xinfo|stream +exists +pexpire"


def dashboard(calling: str, logs: Sequence[str], channels: Sequence[str]) -> str:
    """Return the rules.

    Args:
        calling: the rules to call the script of a publish.
        logs: the rules for the keys of logs on which test events are appended.
        channels: the rules for the channels of these events.

    """
    # decisions/0141: one user for all services, since a pattern of PSUBSCRIBE must stand among the rules word by word.
    heard = f"&bus:probe:{_OWN} &bus:admin:{_OWN} &{REVOKED} &bus:told:*"
    told = f"&bus:admin:* &bus:told:* &bus:probe:{_OWN}"
    selectors = (
        "resetchannels +psubscribe +punsubscribe &*",
        f"resetchannels +publish {told} {' '.join(channels)}",
        f"+hset +pexpire +del ~bus:edge:{_OWN} ~bus:look:{_OWN}",
        f"+zadd +zrem +zremrangebyscore ~{EDGES_KEY}",
        f"{calling} {_APPENDING} {' '.join(logs)}",
    )
    return " ".join(("resetchannels", _CONNECTION, _LOOKS, _READ, heard, *(f"({it.strip()})" for it in selectors)))
