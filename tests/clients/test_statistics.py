"""What a client counts, past the end of what was counted."""

from collections.abc import Awaitable, Callable

import pytest

from clients import Refused, connect
from clients.client import Client
from tests.clients.fake_edge import CHANNEL, Talk, Waiting, eventually, fake_edge, take

pytestmark = pytest.mark.virtual_time

Ending = Callable[[Client, Talk], Awaitable[None]]


async def unsubscribed(client: Client, talk: Talk) -> None:
    """The caller ends the subscription."""
    client.unsubscribe(CHANNEL)


async def left(client: Client, talk: Talk) -> None:
    """A new token does not open the room, and the edge says so."""
    await talk.notice("room.left", CHANNEL)


async def closed(client: Client, talk: Talk) -> None:
    """The client's end is the end of its subscriptions."""
    await client.close()


@pytest.mark.parametrize("end", [unsubscribed, left, closed], ids=lambda it: it.__name__)
async def test_duplicates_stay_counted_when_their_subscription_ends(end: Ending) -> None:
    """A counter never falls, whichever way a subscription ends."""
    async with fake_edge() as edge, connect(edge.url) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.events(1, 1, 1, 2)
        await take(events, 2)
        assert client.statistics().duplicates == 2
        await end(client, talk)
        await eventually(lambda: client.statistics().subscriptions == 0)
        assert client.statistics().duplicates == 2


async def test_duplicates_stay_counted_when_a_subscription_is_refused_on_its_return() -> None:
    """On the next connection the edge refuses the room; what was counted on the first is counted still."""
    async with fake_edge() as edge, connect(edge.url, settings=Waiting().settings()) as client:
        talk = await edge.accept()
        events = client.subscribe(CHANNEL)
        await talk.joins(0)
        await talk.events(1, 1, 2)
        await take(events, 2)
        await talk.cut()
        talk = await edge.accept()
        await talk.refuse(await talk.asked("subscribe"), "FORBIDDEN")
        await take(events, 1)  # that the link was away
        with pytest.raises(Refused):
            await take(events, 1)
        assert (client.statistics().subscriptions, client.statistics().duplicates) == (0, 1)
