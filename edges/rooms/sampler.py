"""Picks the events whose lateness is measured."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from edges.rooms.room import Room
from edges.rooms.tallies import Tallies

__all__ = ["Sampler"]

_APART_S: Final = 0.001


class Sampler:
    """Measures how late one line of a read from Redis was handed on.

    Args:
        tallies: counts.
        find: returns the room of a channel's name in Redis.

    """

    # decisions/0115: at most a thousand times a second, never per line or delivery. The first or the last line of a
    # read would be of one family for ever, where each event goes on two channels.
    __slots__ = ("_find", "_number", "_sampled_s", "_tallies")

    def __init__(self, tallies: Tallies, find: Callable[[bytes], Room | None]) -> None:
        self._tallies, self._find = tallies, find
        self._sampled_s, self._number = 0.0, 0

    def take(self, batch: Sequence[tuple[bytes, bytes]]) -> None:
        """Measure a line of a read that was handed on just now: at another place of the batch each time."""
        now_s = time.time()
        if 0 <= now_s - self._sampled_s < _APART_S:
            return
        self._sampled_s, self._number = now_s, self._number + 1
        name, line = batch[self._number % len(batch)]
        room = self._find(name)
        if room is not None and len(room) and room.sequencer.is_in_sync:
            self._tallies.sample(line, room.end, room.tally, now_s)
