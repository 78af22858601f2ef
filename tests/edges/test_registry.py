import asyncio

from edges.protocol import CloseCode, Notice
from edges.registry import Registry


class Peer:
    def check_deadlines(self, now: float) -> None: ...

    def check_revoked(self) -> None: ...

    def close(self, code: CloseCode) -> None: ...

    def notify(self, notice: Notice) -> bool:
        return True

    def cut(self) -> None: ...


def test_place_taken_while_connecting() -> None:
    """Who is still shaking hands counts, so a flood of half-open handshakes cannot exceed the limit."""
    registry = Registry(limit=2)
    first, second, third = Peer(), Peer(), Peer()
    for peer in (first, second, third):
        assert registry.enter(peer)
    assert [registry.has_place(peer) for peer in (first, second, third)] == [True, True, False]
    assert len(registry) == 2


def test_place_of_one_that_left_goes_to_the_next() -> None:
    """A place is free again when its client is gone, and leaving twice frees it once."""
    registry = Registry(limit=1)
    first, second, third = Peer(), Peer(), Peer()
    registry.enter(first)
    registry.exit(first)
    registry.exit(first)
    registry.enter(second)
    registry.enter(third)
    assert registry.has_place(second)
    assert not registry.has_place(third)
    assert len(registry) == 1


def test_place_of_plain_http_is_given_back() -> None:
    """A health check takes no place of a client, and its end does not free one that it has not."""
    registry = Registry(limit=1)
    check, client = Peer(), Peer()
    registry.enter(check)
    registry.give_back(check)
    registry.enter(client)
    registry.exit(check)
    assert registry.has_place(client)
    assert len(registry) == 1


def test_spare_exhausted_turns_away_and_counts() -> None:
    """Beyond the limit and its spare there is no room even for plain HTTP."""
    registry = Registry(limit=1, spare=2)
    assert [registry.enter(Peer()) for _ in range(4)] == [True, True, True, False]
    assert registry.statistics().refused == 1


def test_statistics_tell_accepted_from_refused() -> None:
    """The counters say how many clients got in and how many did not."""
    registry = Registry(limit=1)
    first, second = Peer(), Peer()
    for peer in (first, second):
        registry.enter(peer)
        registry.has_place(peer)
    statistics = registry.statistics()
    assert (statistics.connections, statistics.accepted, statistics.refused) == (1, 1, 1)


async def test_emptied_returns_when_the_last_one_is_gone() -> None:
    """The end waits for everybody who is connected, with a place or without."""
    registry = Registry(limit=1)
    first, second = Peer(), Peer()
    registry.enter(first)
    registry.enter(second)
    waiting = asyncio.create_task(registry.emptied())
    registry.exit(first)
    await asyncio.sleep(0)
    assert not waiting.done()
    registry.exit(second)
    await waiting
