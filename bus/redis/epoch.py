"""The epoch: when a Redis began, and its identity. The keys, and the form of the value. Pure."""

import re
from typing import Any, Final

from bus.redis.refusals import is_wrong_type

__all__ = ["EPOCH_KEY", "FORMER_KEY", "epoch_ms"]

EPOCH_KEY: Final = "bus:epoch"
FORMER_KEY: Final = "bus:birth"
"""Where older versions keep the epoch: a Redis of theirs goes on with that value (docs/decisions/0067)."""

_EPOCH: Final = re.compile(rb"([0-9]{1,15})-[0-9a-z]")


def epoch_ms(answer: Any) -> int | None:
    """Return when this Redis began, from the answer to ``GET``; None where the key holds no epoch.

    Raises:
        Exception: Redis refused for another reason than the key's type.

    """
    if isinstance(answer, Exception) and not is_wrong_type(answer):
        raise answer
    found = _EPOCH.match(answer) if isinstance(answer, bytes) else None
    return int(found[1]) if found is not None else None
