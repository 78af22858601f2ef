"""Several publishes on a channel as one command, and the answers of a pipeline in which some entries went so. Pure.

Knows ``several.lua``. Entries that the script leaves alone go one by one, by ``publish.lua``.
"""

import hashlib
import importlib.resources
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

from bus.log.appending import Entry, salt
from bus.redis.command_link import packed

__all__ = ["LEFT_ALONE", "SEVERAL", "Plan", "have_common", "plan", "spread"]

Plan: TypeAlias = Sequence[Sequence[int]]
"""For each command of a pipeline the numbers of the entries it stands for, in order."""

SEVERAL: Final = importlib.resources.files("bus.log").joinpath("several.lua").read_text("utf-8")
LEFT_ALONE: Final = b""
"""The answer for an entry that the script did not touch."""
_SHA: Final = hashlib.sha1(SEVERAL.encode(), usedforsecurity=False).hexdigest()


def have_common(entries: Sequence[Entry]) -> bool:
    """Tell whether two entries are of one channel; the entries of a single event never are."""
    return len({entry.channel.redis for entry in entries}) < len(entries)


def plan(entries: Sequence[Entry], pack: Callable[[Entry], Iterable[bytes]]) -> tuple[list[bytes], Plan]:
    """Return the pieces of a pipeline, and what each command stands for; ``pack`` makes the command of a single entry.

    Of a channel all entries go together, or each on its own: no event overtakes another of its channel.
    """
    groups: dict[str, list[int]] = {}
    alone: set[str] = set()
    for number, entry in enumerate(entries):
        name = entry.channel.redis
        if name in groups:
            groups[name].append(number)
        else:
            groups[name] = [number]
        if entry.since_ms is not None or entry.once:
            alone.add(name)
    pieces: list[bytes] = []
    stands_for: list[Sequence[int]] = []
    for name, numbers in groups.items():
        channel = entries[numbers[0]].channel
        if len(numbers) == 1 or name in alone or channel.keyed is not None or channel.retention.kind == "live":
            for number in numbers:
                pieces += pack(entries[number])
            stands_for += [(number,) for number in numbers]
        else:
            pieces.append(_together([entries[number] for number in numbers]))
            stands_for.append(numbers)
    return pieces, stands_for


def _together(entries: Sequence[Entry]) -> bytes:
    channel = entries[0].channel
    words: list[Any] = ["EVALSHA", _SHA, 1, channel.log_key]
    words += [channel.retention.max_events, channel.retention.expires_s * 1000]
    for entry in entries:
        words += [entry.id, entry.event, entry.line, salt()]
    return packed(words)


def spread(stands_for: Plan, replies: Iterable[Any]) -> list[Any]:
    """Return an answer for each entry, of the answers for each command; an error speaks for all its entries."""
    if len(stands_for) == 1:  # all of one channel: the numbers are in order
        [numbers], [reply] = stands_for, replies
        return _answers(len(numbers), reply)
    spread_out: dict[int, Any] = {}
    for numbers, reply in zip(stands_for, replies, strict=True):
        spread_out.update(zip(numbers, _answers(len(numbers), reply), strict=False))
    return [spread_out[number] for number in range(len(spread_out))]


def _answers(count: int, reply: Any) -> list[Any]:
    """Return the answers of ``count`` entries to one command."""
    if count == 1 or type(reply) is not bytes:
        return [reply] * count
    places: list[Any] = reply.split(b",") if reply else []
    return (places + [LEFT_ALONE] * (count - len(places)))[:count]
