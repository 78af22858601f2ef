"""Several publishes as one command, and the answers of a pipeline in which some entries went so. Pure.

Knows ``several.lua``. Entries that the script leaves alone go one by one, by ``publish.lua``.
"""

import hashlib
import importlib.resources
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

from bus.log.appending import Entry, salt
from bus.redis import library
from bus.redis.command_link import packed

__all__ = ["LEFT_ALONE", "SEVERAL", "Plan", "is_worth_it", "plan", "spread"]

Plan: TypeAlias = Sequence[Sequence[int]]
"""For each command of a pipeline the numbers of the entries it stands for."""

SEVERAL: Final = importlib.resources.files("bus.log").joinpath("several.lua").read_text("utf-8")
LEFT_ALONE: Final = b""
"""The answer for an entry that the script did not touch."""
_SHA: Final = hashlib.sha1(SEVERAL.encode(), usedforsecurity=False).hexdigest()
_SOME: Final = 5
_CHANNELS: Final = 25
"""The most channels of a command. Ten are most of what can be gained, and Redis serves nobody else meanwhile."""


def is_worth_it(entries: Sequence[Entry]) -> bool:
    """Tell whether Redis saves by a plan: two entries are of one channel, or there are some; one event has a few."""
    # decisions/0166: for two channels Redis saves nothing, and the caller pays a sixth of a publish for the plan.
    return len(entries) >= _SOME or len({entry.channel.redis for entry in entries}) < len(entries)


def plan(entries: Sequence[Entry], pack: Callable[[Entry], Iterable[bytes]]) -> tuple[list[bytes], Plan]:
    """Return the pieces of a pipeline, and what each command stands for; ``pack`` makes the command of a single entry.

    Of a channel all entries go together, or each on its own: no event overtakes another of its channel. Channels whose
    logs hold as much for as long go together, too. Commands stand in the order of their first entries.
    """
    pieces: list[bytes] = []
    stands_for: list[Sequence[int]] = []
    for logs in _commands(entries, *_by_channel(entries)):
        together = [number for numbers in logs for number in numbers]
        pieces += pack(entries[together[0]]) if len(together) == 1 else (_together(entries, logs),)
        stands_for.append(together)
    return pieces, stands_for


def _by_channel(entries: Sequence[Entry]) -> tuple[dict[str, list[int]], set[str]]:
    """Return the numbers of each channel's entries, and the channels of which each entry goes on its own."""
    groups: dict[str, list[int]] = {}
    alone: set[str] = set()
    for number, entry in enumerate(entries):
        name = entry.channel.redis
        if name in groups:
            groups[name].append(number)
        else:
            groups[name] = [number]
            if entry.channel.keyed is not None or entry.channel.retention.kind == "live":
                alone.add(name)
        if entry.since_ms is not None or entry.once:
            alone.add(name)
    return groups, alone


def _commands(entries: Sequence[Entry], groups: dict[str, list[int]], alone: set[str]) -> list[list[list[int]]]:
    """Return for each command the numbers of each log's entries."""
    commands: list[list[list[int]]] = []
    open_ones: dict[tuple[int, int], list[list[int]]] = {}
    for name, numbers in groups.items():
        retention = entries[numbers[0]].channel.retention
        holds = (retention.max_events, retention.expires_s)
        if name in alone:
            commands += [[[number]] for number in numbers]
        elif holds in open_ones and len(open_ones[holds]) < _CHANNELS:
            open_ones[holds].append(numbers)
        else:
            open_ones[holds] = [numbers]
            commands.append(open_ones[holds])
    return commands


def _together(entries: Sequence[Entry], logs: Sequence[Sequence[int]]) -> bytes:
    channels = [entries[numbers[0]].channel for numbers in logs]
    retention = channels[0].retention
    words: list[Any] = ["EVALSHA", _SHA, len(logs), *[channel.log_key for channel in channels]]
    words += [retention.max_events, retention.life_ms, *map(len, logs)]
    for numbers in logs:
        for number in numbers:
            entry = entries[number]
            words += [entry.id, entry.event, entry.line, salt()]
    return packed(words)


def spread(stands_for: Plan, replies: Iterable[Any]) -> list[Any]:
    """Return an answer for each entry, of the answers for each command; an error speaks for all its entries."""
    found: list[Any] = [None] * sum(map(len, stands_for))
    for numbers, reply in zip(stands_for, replies, strict=True):
        for number, answer in zip(numbers, _answers(len(numbers), reply), strict=True):
            found[number] = answer
    return found


def _answers(count: int, reply: Any) -> list[Any]:
    """Return the answers of ``count`` entries to one command."""
    if count == 1:
        return [reply]
    if type(reply) is bytes:
        places: list[Any] = reply.split(b",")
        return (places + [LEFT_ALONE] * (count - len(places)))[:count]
    # A user who may not write one of the logs is refused the whole command, and other logs are not to miss events.
    return [LEFT_ALONE if isinstance(reply, library.NoPermissionError) else reply] * count
