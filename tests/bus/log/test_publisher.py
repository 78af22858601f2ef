"""Attempts of a publication, on a log that is away."""

import logging
from collections.abc import Sequence

from bus.channel import LATEST, Channel
from bus.envelope import Message
from bus.errors import BusError, BusUnavailable
from bus.event import Attempt
from bus.log.appending import Appended, Entry, Replicas
from bus.log.publication import Publication
from bus.log.publisher import Publisher

STATE = Channel("state:x", "state:x", LATEST)


class Queue:
    """Waiting publications, a pipeline of one each."""

    def __init__(self) -> None:
        self.waiting: list[Publication] = []

    def take(self, limit: int, limit_bytes: int) -> Sequence[Publication]:
        return [self.waiting.pop(0)]

    def give_back(self, batch: Sequence[Publication]) -> None:
        """Let go: each caller makes a single attempt."""

    def calls(self) -> Sequence[Publication]:
        return self.waiting

    def discharge(self, items: Sequence[Publication], error: BusError | None = None) -> None:
        """Keep nothing."""


class Log:
    """A log that is away, or takes all.

    Attributes:
        entries: what was to be appended last.

    """

    sent_ms: int | None = None
    is_away = False

    def __init__(self) -> None:
        self.entries: Sequence[Entry] = ()

    async def append(self, entries: Sequence[Entry], *, replicas: Replicas | None = None) -> list[Appended | BusError]:
        self.entries = entries
        if self.is_away:
            raise BusUnavailable("away")
        return [Appended("1-1", 0) for _ in entries]


async def test_value_before_stays_the_one_before_through_attempts_that_were_not_sent() -> None:
    """Else a repetition would find its own producer's older value, take it for a newer one, and be refused."""
    queue, log = Queue(), Log()
    publisher = Publisher(queue, name="test", replicas=0, logger=logging.getLogger("test"))

    async def publish(made: Attempt) -> None:
        queue.waiting.append(Publication(Message(made.id, "a.state", ((STATE, b"{}"),)), made))
        await publisher.attempt(log)

    await publish(Attempt("first", ""))
    second, log.is_away = Attempt("second", ""), True
    for _ in range(3):
        await publish(second)
    assert second.after == ((STATE.name, "first"),)
    await publish(Attempt("third", ""))
    await publish(second)
    assert second.after == ((STATE.name, "third"),)
