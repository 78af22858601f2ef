"""Streams under bounds: places, quotas, slow and silent clients, drains, ends of tokens, TLS."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest
from websockets.http11 import Request, Response

from bus.broker.embedded import EmbeddedBroker
from edges import Edge, EdgeSettings
from edges.auth.authenticator import Authenticator
from edges.protocol.messages import Outgoing
from edges.session.client import Client as SessionClient
from edges.session.verbs.recover import Recover
from edges.transport.keepalive import Due, Pulse
from edges.transport.screen import Applicant
from edges.transport.stream import Stream
from producers import Producer
from tests.edges.conftest import Listen, OpenClient, StartEdge
from tests.edges.peers import eventually, get, http
from tests.edges.signing import SECRET, token
from tests.edges.streams import Listener, events_path, refusal
from tests.edges.transport.test_stream import SERVICE, Paged, Step, numbers
from tests.edges.transport.test_tls import Files

BROWSER = "Accept: text/event-stream"
TEXT = "y" * 16_000
ENOUGH = 100
"""Events of that size: several times the bound."""


async def test_places_are_shared_with_websockets(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, listen: Listen
) -> None:
    """A stream takes a place as a WebSocket does; where none is left a program gets 503, and a browser comes back."""
    edge = await start_edge(broker, SERVICE, max_connections=2)
    first, path = await listen(edge, "workflow:a"), events_path("workflow:a")
    await open_client(edge)
    status, headers, body = await refusal(edge, path)
    assert (status, headers["retry-after"], body["code"]) == (503, "1", "UNAVAILABLE")
    page = await listen(edge, "workflow:a", headers=(BROWSER,))
    assert page.status == 200
    assert (await page.next()).value["error_code"] == "UNAVAILABLE"
    assert page.retry_ms >= 1_000
    with pytest.raises(EOFError):
        await page.next()
    await first.close()
    await eventually(lambda: edge.statistics()[0].connections == 1)
    assert (await listen(edge, "workflow:a")).status == 200


async def test_quota_of_an_address(broker: EmbeddedBroker, start_edge: StartEdge, listen: Listen) -> None:
    """A stream counts for its address, and no longer than it lasts; so does a look at the past."""
    edge = await start_edge(broker, SERVICE, max_connections_per_address=1)
    stream = await listen(edge, "workflow:a")
    for path in (events_path("workflow:a"), "/channels/workflow:a"):
        status, _, body = await refusal(edge, path)
        assert (status, body["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    await stream.close()

    async def is_free() -> bool:
        return (await refusal(edge, "/channels/workflow:a"))[0] == 200

    await eventually(is_free)


async def test_rooms_of_one_client(broker: EmbeddedBroker, start_edge: StartEdge) -> None:
    """`max_rooms` bounds the channels of a stream, too."""
    edge = await start_edge(broker, SERVICE, max_rooms=1)
    status, _, body = await refusal(edge, events_path("workflow:a", "workflow:b"))
    assert (status, body["code"]) == (400, "SUBSCRIPTION_LIMIT")
    assert edge.statistics()[0].limited["max_rooms"] == 1


async def test_room_that_cannot_be_had_holds_up_no_other(
    broker: EmbeddedBroker, start_edge: StartEdge, producer: Producer, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream waits for a room of a full edge; in the rooms it has, it is given events, recoveries among them."""
    monkeypatch.setattr("edges.session.verbs.follow._RETRY_S", 0.02)
    recovered = asyncio.Event()
    run = Recover.run

    async def noted(self: Recover, client: SessionClient) -> AsyncGenerator[Outgoing, None]:
        async for item in run(self, client):
            yield item
        recovered.set()

    monkeypatch.setattr(Recover, "run", noted)
    streams, begin = list[Stream](), Stream.begin

    def begun(self: Stream) -> None:
        streams.append(self)
        begin(self)

    monkeypatch.setattr(Stream, "begin", begun)
    edge = await start_edge(broker, SERVICE, max_open_rooms=1)
    stream = await listen(edge, "workflow:a", "workflow:b")
    place = (await stream.named("subscribed")).last_id.rstrip(",")
    assert (await stream.named("refused")).value["error_code"] == "UNAVAILABLE"
    streams[0].recover(SERVICE.channel("workflow:a"), place)
    async with asyncio.timeout(5):
        await recovered.wait()
    await producer.publish(Step(number=1))
    assert (await stream.next()).value["data"]["number"] == 1  # and is not told again and again


def stop_reading(listener: Listener) -> None:
    listener.client.writer.transport.pause_reading()  # type: ignore[attr-defined]


def read_on(listener: Listener) -> None:
    listener.client.writer.transport.resume_reading()  # type: ignore[attr-defined]


async def until_the_end(listener: Listener) -> AsyncIterator[int]:
    """Yield the numbers of events up to the end of the stream, which may be in the middle of one."""
    try:
        while True:
            yield (await listener.named("message")).value["data"]["number"]
    except (EOFError, ConnectionError):
        return


async def test_client_that_does_not_read_is_closed(
    broker: EmbeddedBroker, start_edge: StartEdge, producer: Producer, listen: Listen
) -> None:
    """It costs no more than its bound and is closed; a neighbour hears all; coming back, it lacks nothing."""
    edge = await start_edge(broker, SERVICE, max_waiting_bytes=256 * 1024, send_buffer_bytes=16 * 1024)
    slow, neighbour = await listen(edge, "workflow:a", receive_buffer=4096), await listen(edge, "workflow:a")
    await slow.named("subscribed")
    await neighbour.named("subscribed")
    stop_reading(slow)
    for number in range(ENOUGH):
        await producer.publish(Step(number=number, text=TEXT))
        assert numbers(await neighbour.heard(1)) == [number]
    await eventually(lambda: edge.statistics()[0].slow == 1)
    read_on(slow)
    heard = [number async for number in until_the_end(slow)]
    back = await listen(edge, "workflow:a", headers=(f"Last-Event-ID: {slow.last_id}",))
    heard += numbers(await back.heard(ENOUGH - len(heard)))
    assert heard == list(range(ENOUGH))


async def test_policy_of_a_channel_leaves_a_slow_client_out(
    broker: EmbeddedBroker, start_edge: StartEdge, producer: Producer, listen: Listen
) -> None:
    """A `skip` channel tells the gap, by name, and shows the newest event, as on a WebSocket."""
    edge = await start_edge(broker, SERVICE, max_waiting_bytes=256 * 1024, send_buffer_bytes=16 * 1024)
    slow = await listen(edge, "page:a", receive_buffer=4096)
    await slow.named("subscribed")
    stop_reading(slow)
    for number in range(ENOUGH):
        await producer.publish(Paged(number=number, text=TEXT))
    await eventually(lambda: edge.statistics()[1].lines == ENOUGH)  # what comes behind the return needs no gap
    read_on(slow)
    names: list[str] = []
    while not names or names[-1] != str(ENOUGH - 1):
        said = await slow.next()
        names.append(str(said.value["data"]["number"]) if said.name == "message" else said.name)
    assert names[-2] == "gap"
    assert len(names) < ENOUGH


async def test_client_that_goes_away_gives_its_place_back(
    broker: EmbeddedBroker, start_edge: StartEdge, listen: Listen
) -> None:
    """A closed socket and a half-closed one are noticed at once; bytes behind the request are bounded."""
    edge = await start_edge(broker, SERVICE)
    for way in ("close", "write_eof", "flood"):
        stream = await listen(edge, "workflow:a")
        await stream.named("subscribed")
        assert (edge.statistics()[0].connections, edge.statistics()[1].rooms) == (1, 1)
        if way == "flood":
            stream.client.write(bytes(200_000))
        else:
            getattr(stream.client.writer, way)()
        await eventually(lambda: (edge.statistics()[0].connections, edge.statistics()[1].rooms) == (0, 0))


class Wire:
    """The bytes under way, as the kernel tells of them."""

    unread, under_way = 100, 0

    def unread_bytes(self) -> int:
        return self.unread

    def under_way_bytes(self) -> int:
        return self.under_way


def test_silent_client_is_alive_while_its_kernel_acknowledges() -> None:
    """A comment an interval; a client whose kernel acknowledges nothing is cut after interval and timeout."""
    wire = Wire()
    pulse = Pulse(interval_s=20.0, timeout_s=20.0, now=0.0)
    said: list[tuple[float, Due]] = []
    for now in range(1, 100):
        if now == 45:
            wire.under_way = 3  # from here on nothing is acknowledged
        if (due := pulse.due(float(now), wire)) is not None:  # type: ignore[arg-type]
            said.append((now, due))
    assert said[:4] == [(20, Due.PING), (40, Due.PING), (60, Due.PING), (80, Due.CUT)]


def test_proof_of_life_for_another_client() -> None:
    """Another client wants the place: acknowledged bytes within moments are proof, none are the end."""
    wire = Wire()
    pulse = Pulse(interval_s=20.0, timeout_s=20.0, now=0.0)
    for acknowledged, due in ((3, None), (0, Due.CUT)):
        assert pulse.wants_proof(1.0, wire)  # type: ignore[arg-type]
        assert not pulse.wants_proof(1.5, wire)  # type: ignore[arg-type]
        wire.under_way, wire.unread = 3, wire.unread - acknowledged
        assert pulse.due(4.0, wire) is due  # type: ignore[arg-type]


async def test_comment_keeps_a_silent_stream_open(
    broker: EmbeddedBroker, start_edge: StartEdge, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies end connections on which nothing is said."""
    monkeypatch.setattr("edges.lifecycle.housekeeping._DEADLINES_S", 0.02)
    edge = await start_edge(broker, SERVICE, ping_interval_s=0.05)
    stream = await listen(edge, "workflow:a")
    await stream.named("subscribed")
    reader = stream.client.reader
    async with asyncio.timeout(5):
        assert [await reader.readuntil(b"\n\n") for _ in range(2)] == [b":\n\n"] * 2


async def test_end_of_a_token(
    broker: EmbeddedBroker, start_edge: StartEdge, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client is warned before the end of its token, and sent away at it."""
    monkeypatch.setattr("edges.lifecycle.housekeeping._DEADLINES_S", 0.02)
    edge = await start_edge(broker, SERVICE, auth_secret=SECRET)
    ends_at = int(time.time()) + 3_600
    shown = f"Authorization: Bearer {token('alice', ['workflow:read'], exp=ends_at)}"
    stream = await listen(edge, "workflow:a", headers=(shown,))
    await stream.named("subscribed")
    monkeypatch.setattr(Authenticator, "now_s", lambda _: ends_at - 10.0)
    assert (await stream.named("auth.expiring")).value["data"]["expires_in_ms"] == 10_000
    monkeypatch.setattr(Authenticator, "now_s", lambda _: ends_at + 1.0)
    assert (await stream.named("closed")).value["data"]["come_back"] is False


async def test_drain_and_stop(broker: EmbeddedBroker, start_edge: StartEdge, listen: Listen) -> None:
    """A drained edge says when it will end the stream, and ends it with a word that lets browsers come back."""
    edge = await start_edge(broker, SERVICE, drain_notice_s=0, drain_window_s=0.1)
    stream = await listen(edge, "workflow:a", headers=(BROWSER,))
    await stream.named("subscribed")
    draining = asyncio.create_task(edge.drain())
    assert (await stream.named("edge.draining")).value["data"]["reconnect_after_ms"] <= 100
    closed = (await stream.named("closed")).value["data"]
    assert (closed["code"], closed["come_back"]) == (1012, True)
    with pytest.raises(EOFError):
        await stream.next()
    await stream.close()
    await draining


async def test_redis_is_away(broker: EmbeddedBroker, start_edge: StartEdge, producer: Producer, listen: Listen) -> None:
    """The stream stays open and says so; who comes meanwhile waits inside; afterwards both have all events."""
    edge = await start_edge(broker, SERVICE)
    stream = await listen(edge, "workflow:a")
    await stream.named("subscribed")
    await broker.stop()
    assert (await stream.named("interrupted")).value["event"] == "bus.degraded"
    late = await listen(edge, "workflow:b")
    assert (await late.named("interrupted")).value["event"] == "bus.degraded"
    assert (await late.named("refused")).value["error_code"] == "UNAVAILABLE"
    async with EmbeddedBroker(broker.port):
        assert (await stream.named("recovered")).value["event"] == "bus.restored"
        await late.named("subscribed")
        for name in ("a", "b"):
            await producer.publish(Step(workflow_id=name, number=1))
        assert numbers(await stream.heard(1)) == numbers(await late.heard(1)) == [1]
        for one in (stream, late):
            await one.close()
        await edge.stop()


async def test_stream_over_tls(
    broker: EmbeddedBroker, start_edge: StartEdge, producer: Producer, tmp_path: Path
) -> None:
    """The same port speaks HTTPS: events come at once, and the end is an end of TLS, too."""
    files = Files(tmp_path)
    edge = await start_edge(broker, SERVICE, drain_notice_s=0, drain_window_s=0, **files.settings)
    reader, writer = await asyncio.open_connection("localhost", edge.port, ssl=files.client())
    writer.write(get(events_path("workflow:a")))
    async with asyncio.timeout(10):
        assert b'"secure":true' in await reader.readuntil(b"event: subscribed\n")
        await producer.publish(Step(number=1, text="at once"))
        await reader.readuntil(b'"text":"at once"')
        draining = asyncio.create_task(edge.drain())
        rest = await reader.read()
    writer.close()
    await writer.wait_closed()
    await draining
    assert b"event: closed\n" in rest


async def test_hook_is_asked_first(broker: EmbeddedBroker) -> None:
    """`process_request` may refuse a stream, and the past."""
    asked: list[str] = []

    def hook(applicant: Applicant, request: Request) -> Response | None:
        asked.append(request.path)
        return applicant.respond(403, "not you\n") if "secret" in request.path else None

    settings = EdgeSettings(port=0, redis_url=broker.url)
    async with Edge(SERVICE, settings, process_request=hook) as edge:
        await edge.ready()
        paths = [path(f"workflow:{name}") for name in ("secret", "a") for path in (events_path, "/channels/{}".format)]
        statuses = [(await http(edge.port, get(path, method="HEAD")))[0] for path in paths]
    assert (statuses, asked) == ([403, 403, 200, 200], paths)
