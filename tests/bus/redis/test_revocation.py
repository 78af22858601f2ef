import asyncio
import uuid
from math import inf

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusError, BusUnavailable
from bus.redis.revocation import KEPT_S, REVOKED, Revocation, Revocations, of_token, of_user


@pytest.fixture(params=[True, False], ids=["library", "early"])
def _reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read with the client library, and before the library is loaded."""
    monkeypatch.setattr("bus.redis.connection.is_loaded", lambda: request.param)


async def read(revocations: Revocations) -> list[Revocation]:
    """Return every revocation that is kept."""
    return [revocation async for page in revocations.pages() for revocation in page.readable]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"user:alice 1795000000000", Revocation("user:alice", 1_795_000_000_000)),
        (b"user:a b 5", Revocation("user:a b", 5)),
        ("id:ö 5".encode(), Revocation("id:ö", 5)),
        (b"", None),
        (b"user:alice", None),
        (b"user:alice x", None),
        (b" 5", None),
        (b"user:alice -5", None),
        (b"user:alice " + b"9" * 5000, None),
        ("user:alice \u0665".encode(), None),
        (b"\xff\xfe", None),
        (b"user:\xff 5", None),
        (b"alice 5", None),
        (b"user: 5", None),
    ],
    ids=lambda value: str(value)[:24],
)
def test_message(message: bytes, expected: Revocation | None) -> None:
    """A message is a member and its time; anything else is none, and raises nothing."""
    assert Revocation.parse(message) == expected


@pytest.mark.usefixtures("_reader")
async def test_revoked_is_kept_and_told(broker_url: str) -> None:
    """A revocation stands in the sorted set for whoever reads it, and goes to whoever listens."""
    user = f"u-{uuid.uuid4()}"
    async with Revocations(broker_url, name="test") as revocations, Redis.from_url(broker_url) as redis:
        async with redis.pubsub() as listener:
            await listener.subscribe(REVOKED)
            await listener.get_message(timeout=5)
            revocation, told = await revocations.revoke(of_user(user))
            message = await listener.get_message(timeout=5)
        assert message is not None
        assert Revocation.parse(message["data"]) == revocation
        assert told == 1
        assert revocation in await read(revocations)
        assert await redis.zscore(REVOKED, f"user:{user}") == revocation.at_ms
        assert 0 < await redis.ttl(REVOKED) <= KEPT_S
        await redis.zrem(REVOKED, f"user:{user}")


async def test_repeated_revocation_counts_from_the_later_time(broker_url: str) -> None:
    """Revoking a user again is about the tokens issued meanwhile too."""
    member = of_token(f"t-{uuid.uuid4()}")
    async with Revocations(broker_url, name="test") as revocations, Redis.from_url(broker_url) as redis:
        await redis.zadd(REVOKED, {member: 5_000_000_000_000})
        await revocations.revoke(member)
        assert await redis.zscore(REVOKED, member) == 5_000_000_000_000
        await redis.zadd(REVOKED, {member: 1})
        revocation, _ = await revocations.revoke(member)
        assert await redis.zscore(REVOKED, member) == revocation.at_ms
        await redis.zrem(REVOKED, member)


async def test_old_revocations_go(broker_url: str) -> None:
    """What no living token can be concerned by is taken out."""
    old, new = of_token(f"old-{uuid.uuid4()}"), of_token(f"new-{uuid.uuid4()}")
    async with Revocations(broker_url, name="test") as revocations, Redis.from_url(broker_url) as redis:
        await redis.zadd(REVOKED, {old: 1_700_000_000_000})
        await revocations.revoke(new)
        assert await redis.zscore(REVOKED, old) is None
        await redis.zrem(REVOKED, new)


async def test_no_redis() -> None:
    """A Redis that is away is told as what it is."""
    async with Revocations("redis://127.0.0.1:1", name="test") as revocations:
        with pytest.raises(BusUnavailable):
            await revocations.revoke(of_user("alice"))
        with pytest.raises(BusUnavailable):
            await read(revocations)


@pytest.mark.usefixtures("_reader")
async def test_redis_that_refuses(broker_url: str) -> None:
    """An error of Redis' own is an error of the bus."""
    async with Redis.from_url(broker_url) as redis, Revocations(broker_url, name="test") as revocations:
        await asyncio.gather(redis.rename(REVOKED, "set-aside"), return_exceptions=True)
        await redis.set(REVOKED, "text")
        with pytest.raises(BusError, match="WRONGTYPE"):
            await read(revocations)
        await redis.delete(REVOKED)


@pytest.mark.usefixtures("_reader")
@pytest.mark.parametrize("same", [False, True])
async def test_read_in_pages(broker: EmbeddedBroker, same: bool) -> None:
    """None is left out, even where more than a page were revoked at one time or are taken back meanwhile."""
    wanted = {f"id:t{number}": 5 if same else number for number in range(3_500)}
    async with Redis.from_url(broker.url) as redis, Revocations(broker.url, name="test") as revocations:
        await redis.zadd(REVOKED, wanted)
        found, largest = dict[str, int](), 0
        async for page in revocations.pages():
            found |= {it.member: it.at_ms for it in page.readable}
            largest = max(largest, len(page.readable))
            await redis.zrem(REVOKED, page.readable[0].member)
    assert found == wanted
    assert largest <= (4_000 if same else 1_000)


async def test_what_cannot_be_read_is_passed_over(broker: EmbeddedBroker) -> None:
    """A member that names nobody, or a time before all times, is counted; one without an end counts for ever."""
    async with Redis.from_url(broker.url) as redis, Revocations(broker.url, name="test") as revocations:
        odd: dict[bytes, float] = {b"user:a": -inf, b"alice": 5, b"id:\xff": 7, b"id:t": -5}
        await redis.zadd(REVOKED, {b"user:eve": inf, b"id:half": 1.5, **odd})
        pages = [page async for page in revocations.pages()]
    assert [page.unreadable for page in pages] == [4]
    assert [(it.member, it.at_ms) for it in pages[0].readable] == [("user:eve", 10**15 - 1), ("id:half", 1)]
