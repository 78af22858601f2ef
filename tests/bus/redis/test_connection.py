"""What an edge asks of Redis before the client library is loaded is asked and answered as with the library."""

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusUnavailable, LoginRefused
from bus.redis.connection import Connection
from bus.redis.keys import EPOCH_KEY


@pytest.fixture(params=[True, False], ids=["library", "early"], autouse=True)
def _asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.redis.connection.is_loaded", lambda: request.param)


async def test_epoch_is_set_by_the_first_who_asks(broker: EmbeddedBroker) -> None:
    """And is another one on no other connection."""
    async with Connection(broker.url, name="one") as one, Connection(broker.url, name="two") as two:
        epoch = await one.epoch()
        assert epoch.partition("-")[0].isdecimal()
        assert await two.epoch() == await one.epoch() == epoch
        await two.ping()


async def test_epoch_of_another_type_is_none(broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture) -> None:
    """A key typed by hand tells no two servers apart; a warning says so."""
    async with Redis.from_url(broker.url) as redis, Connection(broker.url, name="test") as connection:
        await redis.delete(EPOCH_KEY)
        await redis.rpush(EPOCH_KEY, "by hand")
        assert await connection.epoch() == ""
    assert [it.levelname for it in caplog.records if vars(it).get("key") == EPOCH_KEY] == ["WARNING"]


async def test_redis_that_is_away_or_refuses(broker: EmbeddedBroker) -> None:
    """Each is told as what it is."""
    async with Connection("redis://127.0.0.1:1", name="test") as connection:
        with pytest.raises(BusUnavailable):
            await connection.epoch()
    async with Connection(broker.url.replace("//", "//nobody:secret@"), name="test") as connection:
        with pytest.raises(LoginRefused):
            await connection.epoch()


async def test_question_leaves_no_connection(broker: EmbeddedBroker) -> None:
    """A connection for one command ends with the command."""
    async with Redis.from_url(broker.url) as redis, Connection(broker.url, name="test") as connection:
        assert await connection.early("GET", "nothing") is None
        assert isinstance(await connection.early("GET"), Exception)
        while any(client["name"] == "test" for client in await redis.client_list()):
            pass
