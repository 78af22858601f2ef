"""Revocation: what an edge knows, and how soon every replica closes."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from typing import Any, Final, cast

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusUnavailable
from bus.redis.revocation import KEPT_S, REVOKED, Page, Revocation, Revocations, of_token, of_user
from edges import Edge
from edges.auth.permissions import Caller
from edges.auth.revocations import KnownRevocations
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually
from tests.edges.signing import SECRET, token

NOW_S: Final = 1_800_000_000
AT_ONCE_S: Final = 1.0
LEEWAY_S: Final = 5.0
"""Of an edge by default."""


class FakeRevocations:
    """A Redis that holds some, or is away."""

    def __init__(self) -> None:
        self.held: list[Revocation] = []
        self.unreadable = 0
        self.failures: list[Exception] = []
        self.reads = 0
        self.before_failing: Callable[[], object] = lambda: None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def pages(self) -> AsyncIterator[Page]:
        self.reads += 1
        await self.may_answer.wait()
        if self.failures:
            self.before_failing()
            raise self.failures.pop()
        yield Page(list(self.held), self.unreadable)


def spawn(work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
    return asyncio.create_task(work, name=name)


def revoked(source: FakeRevocations, news: list[str]) -> KnownRevocations:
    """Return what is tested."""
    return KnownRevocations(cast(Revocations, source), spawn, news.extend, clock=lambda: NOW_S)


@pytest.mark.parametrize(
    ("caller", "is_concerned"),
    [
        (Caller("alice", issued_after=NOW_S - 1), True),
        (Caller("alice", issued_after=NOW_S), True),
        (Caller("alice", issued_after=NOW_S + 0.5), True),
        (Caller("alice", issued_after=NOW_S + 1), False),
        (Caller("alice"), True),
        (Caller("alicia", issued_after=NOW_S - 1), False),
        (Caller("bob", issued_after=NOW_S - 1), False),
        (Caller("bob", issued_after=NOW_S + 9, token_id="t1"), True),
        (Caller("bob", token_id="t2"), False),
        (Caller("t1"), False),
        (Caller("bob", token_id="alice"), False),
        (Caller(), False),
    ],
)
async def test_who_is_concerned(caller: Caller, is_concerned: bool) -> None:
    """A user's tokens up to the revocation, or the one token with an id; never an anonymous caller."""
    known = revoked(FakeRevocations(), [])
    known.take(f"user:alice {NOW_S * 1000 + 500}".encode())
    known.take(f"id:t1 {NOW_S * 1000}".encode())
    assert known.concerns(caller) is is_concerned


async def test_read_until_it_went_well() -> None:
    """While Redis is away it is asked again and again; until then the list counts as not read."""
    source, news = FakeRevocations(), list[str]()
    source.failures, source.held = [BusUnavailable("away")] * 3, [Revocation(of_user("alice"), NOW_S * 1000)]
    known = revoked(source, news)
    assert not known.is_read
    known.read()
    await eventually(lambda: known.is_read)
    assert (source.reads, news) == (4, ["user:alice"])
    assert known.concerns(Caller("alice"))


async def test_asked_for_while_reading_reads_once_more() -> None:
    """What came after a read began may be missing in it, so another one follows; more are not needed."""
    source = FakeRevocations()
    source.may_answer.clear()
    known = revoked(source, [])
    known.read()
    await eventually(lambda: source.reads)
    known.read()
    known.read()
    source.may_answer.set()
    await eventually(lambda: known.is_read)
    assert source.reads == 2


async def test_message_that_says_nothing_reads_them_all() -> None:
    """A person may publish anything on the channel; what stands in the set counts."""
    source = FakeRevocations()
    source.held = [Revocation(of_token("t1"), NOW_S * 1000)]
    known = revoked(source, [])
    known.take(b"look")
    await eventually(lambda: known.is_read)
    assert known.concerns(Caller("bob", token_id="t1"))


async def test_learned_is_kept_for_its_time() -> None:
    """A Redis that comes back empty takes nothing back; what is too old to concern anybody is let go."""
    source, old = FakeRevocations(), f"id:old {(NOW_S - KEPT_S - 1) * 1000}"
    known = revoked(source, [])
    for message in (f"user:alice {NOW_S * 1000}", f"user:alice {NOW_S * 1000 - 9_000}", old):
        known.take(message.encode())
    known.read()
    await eventually(lambda: known.is_read)
    assert known.concerns(Caller("alice", issued_after=NOW_S - 5))
    assert not known.concerns(Caller("bob", token_id="old"))


async def test_read_that_fails_in_an_unforeseen_way_is_begun_anew(caplog: pytest.LogCaptureFixture) -> None:
    """Only what was read counts as read, whatever kept it from being so; our bug is logged once."""
    source = FakeRevocations()
    source.failures = [OverflowError("cannot convert float infinity to integer")] * 3
    source.held = [Revocation(of_user("eve"), NOW_S * 1000)]
    known, counted = revoked(source, []), []
    source.before_failing = lambda: counted.append(known.is_read)
    known.read()
    await eventually(lambda: known.is_read)
    assert (source.reads, counted) == (4, [False] * 3)
    assert known.concerns(Caller("eve"))
    assert [it.exc_info is not None for it in caplog.records if it.levelname == "ERROR"] == [True]


async def test_what_cannot_be_read_is_told_with_its_number(caplog: pytest.LogCaptureFixture) -> None:
    """Members that nobody can read keep no edge from being ready; how many there are is told when that changes."""
    source = FakeRevocations()
    source.held, source.unreadable = [Revocation(of_user("eve"), NOW_S * 1000)], 2
    known = revoked(source, [])
    for _ in range(3):
        known.read()
        await eventually(lambda: known.is_read)
    assert [vars(it)["count"] for it in caplog.records if it.levelname == "WARNING"] == [2]
    assert known.concerns(Caller("eve"))


def cpu_s(known: KnownRevocations, messages: Collection[bytes]) -> float:
    """Return the processor's time for learning ``messages``."""
    began = time.thread_time()
    for message in messages:
        known.take(message)
    return time.thread_time() - began


async def test_revocation_costs_the_same_however_many_are_known() -> None:
    """A hundred of them with 200,000 known cost no more than with none: no pass over what only grows."""
    few, many = revoked(FakeRevocations(), []), revoked(FakeRevocations(), [])
    for number in range(200_000):
        many.take(f"id:t{number} {NOW_S * 1000}".encode())
    costs = [
        [cpu_s(known, [f"user:u{turn}-{number} {NOW_S * 1000}".encode() for number in range(100)]) for turn in range(5)]
        for known in (few, many)
    ]
    assert min(costs[1]) < 20 * min(costs[0])


async def test_old_ones_are_let_go_of_when_their_time_comes() -> None:
    """What is known is bounded by what is kept: each goes at its own time, also one that was revoked again."""
    clock = [float(NOW_S)]
    known = KnownRevocations(cast(Revocations, FakeRevocations()), spawn, lambda _: None, clock=lambda: clock[0])
    for after_s in range(5_000):
        known.take(f"user:alice {(NOW_S + after_s) * 1000}".encode())
        known.take(f"id:t{after_s} {(NOW_S + after_s) * 1000}".encode())
    clock[0] = NOW_S + 4_000 + KEPT_S
    known.take(b"id:last %d" % ((NOW_S + 5_000) * 1000))
    assert len(known) == 1 + 1_000 + 1
    assert known.concerns(Caller("alice", issued_after=NOW_S + 4_999))
    assert not known.concerns(Caller("bob", token_id="t3999"))
    assert known.concerns(Caller("bob", token_id="t4000"))


@pytest.mark.parametrize("score", [math.inf, 1e300, 1e20])
async def test_revoked_for_ever_by_hand_lets_nobody_in(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, redis: Redis, score: float
) -> None:
    """A time that no clock will reach revokes all that the user will ever be given; beside it others are read."""
    odd: dict[bytes, float] = {b"eve": math.inf, b"user:dan": -math.inf, b"id:\xff": 5}
    await redis.zadd(REVOKED, {b"user:eve": score, **odd})
    await redis.zadd(REVOKED, {"user:bob": int(time.time() * 1000)})
    edge = await start_edge(broker, auth_required=True, auth_secret=SECRET)
    for user in ("eve", "bob"):
        client = await open_client(edge)
        client.request("auth", token=token(user, ["mahavishnu:admin"], iat=int(time.time()) - 5))
        assert (await turned_away(client))[:2] == ("AUTH_FAILED", 1008)
    await member(edge, open_client, token("dan"))


async def test_ten_thousand_revocations_are_read(broker: EmbeddedBroker, redis: Redis) -> None:
    """However many there are, and however many at one time, each is known."""
    now_ms = int(time.time() * 1000)
    await redis.zadd(REVOKED, {f"user:u{number}": now_ms - number // 4_000 for number in range(10_000)})
    async with Revocations(broker.url, name="test") as revocations:
        known = KnownRevocations(revocations, spawn, lambda _: None)
        known.read()
        await eventually(lambda: known.is_read)
    assert len(known) == 10_000


async def test_redis_that_refuses_is_told_once(
    broker: EmbeddedBroker, start_edge: StartEdge, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """What only an operator can mend is logged once, and keeps the edge from being ready until it is mended."""
    await redis.set(REVOKED, "text")
    edge = await start_edge(redis_url=broker.url, auth_required=True, auth_secret=SECRET)
    await eventually(lambda: "revocations cannot be read" in caplog.text)
    assert edge.not_ready() is not None
    await redis.delete(REVOKED)
    await eventually(lambda: edge.not_ready() is None)
    warnings = [record for record in caplog.records if record.getMessage() == "revocations cannot be read"]
    assert [record.levelname for record in warnings if record.levelname == "WARNING"] == ["WARNING"]


# Replicas.


async def member(edge: Edge, open_client: OpenClient, shown: str) -> Client:
    """Return a client that is in by a token."""
    client = await open_client(edge)
    client.request("auth", token=shown)
    assert (await client.message())["data"]["status"] == "authenticated"
    assert (await client.message())["event"] == "session.created"
    return client


async def turned_away(client: Client) -> tuple[str, int, float]:
    """Return the code of the next message, the close code, and when that came."""
    error = await client.message()
    code = await client.close_code()
    return error["error_code"], code, time.monotonic()


@pytest.mark.parametrize("by", ["user", "id"])
async def test_revoked_on_every_replica_at_once(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, by: str
) -> None:
    """Within a second every replica has closed whom a revocation concerns, and nobody else; new tokens are taken."""
    replicas = [await start_edge(broker, auth_required=True, auth_secret=SECRET) for _ in range(2)]
    shown = token("alice", jti="t1", iat=int(time.time()) - 5)
    concerned = [await member(edge, open_client, shown) for edge in replicas for _ in range(3)]
    others = [await member(edge, open_client, token("bob", jti="t2")) for edge in replicas]
    async with Revocations(broker.url, name="test") as revocations:
        began = time.monotonic()
        _, told = await revocations.revoke(of_user("alice") if by == "user" else of_token("t1"))
    ends = [await turned_away(client) for client in concerned]
    assert told == 2
    assert {(code, close) for code, close, _ in ends} == {("AUTH_FAILED", 1008)}
    assert max(at for *_, at in ends) - began < AT_ONCE_S
    for client in others:
        assert await client.marked() == []
    for edge in replicas:
        again = await open_client(edge)
        again.request("auth", token=shown)
        assert (await turned_away(again))[:2] == ("AUTH_FAILED", 1008)
        await member(edge, open_client, token("alice", jti="t3", iat=time.time() + LEEWAY_S))


async def test_refusal_of_a_revoked_token_says_when_to_come_back(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """To the client that is in, and to one that comes with it; one that was revoked alone may be replaced at once."""
    edge = await start_edge(broker, auth_required=True, auth_secret=SECRET)
    inside = [await member(edge, open_client, token(name, jti=f"of {name}")) for name in ("alice", "bob")]
    async with Revocations(broker.url, name="test") as revocations:
        await revocations.revoke(of_user("alice"))
        await revocations.revoke(of_token("of bob"))
    user, alone = [(await client.message())["data"] for client in inside]
    assert 1_000 <= user["retry_after_ms"] <= (LEEWAY_S + 1) * 1000
    assert alone == {}
    again = await open_client(edge)
    again.request("auth", token=token("alice"))
    assert 1_000 <= (await again.message())["data"]["retry_after_ms"] <= (LEEWAY_S + 1) * 1000


async def test_revoked_though_the_clock_of_the_issuer_was_ahead(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """Whatever was taken before a revocation is caught by it: a token from the leeway's end too, then and later."""
    edge = await start_edge(broker, auth_required=True, auth_secret=SECRET)
    shown = token("alice", iat=time.time() + LEEWAY_S - 0.5)
    client = await member(edge, open_client, shown)
    async with Revocations(broker.url, name="test") as revocations:
        await revocations.revoke(of_user("alice"))
    assert (await turned_away(client))[:2] == ("AUTH_FAILED", 1008)
    again = await open_client(edge)
    again.request("auth", token=shown)
    assert (await turned_away(again))[:2] == ("AUTH_FAILED", 1008)


async def test_revoked_before_an_edge_began(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """An edge reads what was revoked before it, and is not ready until then."""
    async with Revocations(broker.url, name="test") as revocations:
        await revocations.revoke(of_user("alice"))
    edge = await start_edge(broker, auth_required=True, auth_secret=SECRET)
    client = await open_client(edge)
    client.request("auth", token=token("alice", iat=int(time.time()) - 5))
    assert (await turned_away(client))[:2] == ("AUTH_FAILED", 1008)


async def test_revoked_while_the_link_was_away(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, redis: Redis
) -> None:
    """What was revoked while an edge could not hear is read when it can again, and closes then."""
    edge = await start_edge(broker, auth_required=True, auth_secret=SECRET)
    client = await member(edge, open_client, token("alice", iat=int(time.time()) - 5))
    await redis.zadd(REVOKED, {of_user("alice"): int(time.time() * 1000)})  # nobody is told
    assert await client.marked() == []
    [link] = [it for it in await redis.client_list(_type="pubsub") if it["name"].startswith("edgebus-edge")]
    await redis.client_kill(link["addr"])
    while (message := await client.message())["type"] == "event":
        assert message["event"] in ("bus.degraded", "bus.restored")
    assert message["error_code"] == "AUTH_FAILED"
    assert await client.close_code() == 1008


async def test_no_redis_at_all(start_edge: StartEdge, open_client: OpenClient) -> None:
    """Without Redis a token still lets in; the edge is not ready, and nothing can be read there."""
    edge = await start_edge(redis_url="redis://127.0.0.1:1", auth_required=True, auth_secret=SECRET)
    client = await member(edge, open_client, token("alice", ["workflow:read"]))
    client.request("subscribe", channel="workflow:1")
    assert (await client.message())["error_code"] == "UNAVAILABLE"
    assert edge.not_ready() is not None


async def test_no_keys_no_list(broker: EmbeddedBroker, start_edge: StartEdge, redis: Redis) -> None:
    """An edge without keys neither reads nor hears of revocations."""
    await start_edge(broker)
    assert await redis.pubsub_numsub(REVOKED) == [(REVOKED.encode(), 0)]
