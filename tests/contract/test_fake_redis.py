"""The fake of the hub's tests, under the tests of this suite that a log and a link are enough for.

Each new test of these modules runs on the fake, too; what an edge asks of no Redis is named here.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import FunctionType
from typing import Any, Final

import pytest

from bus.redis.link import Batch
from tests.contract import test_by_hand, test_forks, test_history, test_read, test_subscribe, test_tail
from tests.contract.brokers import Broker, also_fake
from tests.edges.fake_connections import FakeClient, FakeLink, FakeLog
from tests.edges.fake_redis import FakeRedis

_TURNS: Final = 100

_CONNECTIONS: Final = frozenset(
    {
        "test_closed_subscriber_holds_nothing_in_redis",
        "test_connections_carry_their_names",
        "test_epoch_is_set_once",
        "test_epoch_of_an_older_version_is_kept",
        "test_epoch_of_an_older_version_that_nobody_can_read_is_none",
        "test_epoch_stays_whatever_an_older_version_writes",
        "test_log_can_be_closed_twice_and_used_again",
        "test_log_that_only_reads_asks_for_less",
        "test_thousand_channels_take_few_commands",
        "test_two_receivers_get_the_same",
    }
)
"""They open connections of their own, or look at those of a server."""
_OF_PRODUCERS: Final = frozenset(
    {
        "test_announced_edge_is_there_until_it_withdraws_or_expires",
        "test_log_goes_on_behind_an_id_that_no_clock_gives",
        "test_log_of_nothing_but_an_id_that_no_clock_gives",
        "test_repeated_attempt_finds_its_event_though_somebody_typed_far_behind_it",
    }
)
"""They are about the script's repetitions and repairs, or about keys beside logs: the hub knows neither."""


def _on_the_fake(test: FunctionType) -> FunctionType:
    """Return a test without its mark for servers, each of which would run it once more."""
    copy = FunctionType(test.__code__, test.__globals__, test.__name__, test.__defaults__, test.__closure__)
    copy.__doc__, copy.__annotations__, copy.__module__ = test.__doc__, test.__annotations__, test.__module__
    marks: list[pytest.Mark] = getattr(test, "pytestmark", [])
    copy.pytestmark = [mark for mark in marks if mark != also_fake.mark]  # type: ignore[attr-defined]
    return copy


globals().update(
    {
        name: _on_the_fake(test)
        for module in (test_by_hand, test_forks, test_history, test_read, test_subscribe, test_tail)
        for name, test in vars(module).items()
        if name.startswith("test_") and name not in _CONNECTIONS | _OF_PRODUCERS
    }
)


class FakeReceiver:
    """Keeps the lines of a link; they arrive when a test looks for them."""

    def __init__(self, redis: FakeRedis) -> None:
        self.lines: list[tuple[str, bytes]] = []
        self.subscriber = FakeLink(redis, self._deliver)

    def _deliver(self, batch: Batch) -> None:
        self.lines += [(channel.decode(), line) for channel, line in batch]

    async def until(self, fact: Callable[[], bool]) -> None:
        for _ in range(_TURNS):
            self.subscriber.arrive()
            if fact():
                return
            await asyncio.sleep(0)
        raise AssertionError("it never came to that")

    async def until_up(self) -> None:
        """Return: it is."""

    async def subscribe(self, *channels: str) -> None:
        await asyncio.gather(*map(self.subscriber.subscribe, channels))

    async def of(self, channel: str, count: int) -> list[bytes]:
        await self.until(lambda: sum(name == channel for name, _ in self.lines) >= count)
        return [line for name, line in self.lines if name == channel]


@pytest.fixture
def server() -> FakeRedis:
    """Lend the fake."""
    return FakeRedis(clock_ms=1_700_000_000_000)


@pytest.fixture
def broker() -> Broker:
    """Name the kind."""
    return Broker("memory", "")


@pytest.fixture
def redis(server: FakeRedis) -> Any:
    """Lend what a person with redis-cli has."""
    return FakeClient(server)


@pytest.fixture
async def log(server: FakeRedis) -> AsyncIterator[FakeLog]:
    """Lend the sender."""
    async with FakeLog(server) as log:
        yield log


@pytest.fixture
def receiver(server: FakeRedis) -> FakeReceiver:
    """Lend the receiver."""
    return FakeReceiver(server)
