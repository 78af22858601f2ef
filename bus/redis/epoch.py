"""The epoch: when a Redis began, and its identity. The form of the value. Pure."""

import re
from typing import Any, Final

from bus.redis.refusals import is_wrong_type

__all__ = ["epoch_ms"]

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
