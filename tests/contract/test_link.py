"""The link to a real server that dies, hangs, comes late, or wants a password."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.errors import BusTimeout, BusUnavailable
from bus.log.appending import Appended
from bus.redis import address, subscriber
from bus.redis.subscriber import Subscriber
from tests.appending_log import AppendingLog
from tests.contract.brokers import DEADLINE_S, Broker, Cli, Receiver, eventually
from tests.contract.events import WORKFLOW, Stage, entries, front
from tests.ports import free_port

CONFIRMATION = b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
MESSAGE = b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$4\r\nline\r\n"


@pytest.fixture
def broker(real: Broker) -> Broker:
    """Lend real servers only: what sender, receiver and redis of this module talk to."""
    return real


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Halt a server as a machine that hangs does: its sockets stay open, and nothing answers."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def black_hole() -> AsyncIterator[int]:
    """Accept connections on a port and never say a word."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _reader, writer: writers.append(writer), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


async def exchange(receiver: Receiver, log: AppendingLog, name: str, number: int) -> None:
    """Publish one event, and see it arrive."""
    before = sum(channel == f"workflow:{name}" for channel, _ in receiver.lines)
    (appended,) = await log.append(entries(Stage(workflow_id=name, number=number)))
    assert isinstance(appended, Appended)
    lines = await receiver.of(f"workflow:{name}", before + 1)
    assert json.loads(lines[-1])["data"]["number"] == number


async def until_refused(receiver: Receiver, says: str = "edgebus broker") -> None:
    """Wait until the link is down for a reason, and see that subscribe says so at once."""

    async def is_refused() -> bool:
        return not receiver.subscriber.is_up and says in receiver.subscriber.trouble

    await eventually(is_refused)
    async with asyncio.timeout(0.5):
        with pytest.raises(BusUnavailable, match=says):
            await receiver.subscriber.subscribe("workflow:refused")


async def test_killed_link_comes_back_with_its_channels(receiver: Receiver, log: AppendingLog, redis: Cli) -> None:
    """After CLIENT KILL both callbacks are called, the generation grows, and every channel is subscribed again."""
    names = [f"workflow:n{number}" for number in range(1_200)]
    await receiver.subscribe("workflow:a", *names)
    await receiver.subscriber.unsubscribe("workflow:n0")
    await exchange(receiver, log, "a", 1)
    assert await redis.client_kill_filter(_type="pubsub") == 1
    await receiver.until(lambda: receiver.downs == 1)
    await receiver.until_up(2)
    assert set(await redis.pubsub_channels()) == {b"workflow:a", *(name.encode() for name in names[1:])}
    statistics = receiver.subscriber.statistics()
    assert (statistics.generation, statistics.lost, statistics.channels) == (2, 1, 1_200)
    await exchange(receiver, log, "a", 2)
    assert len(await receiver.of("workflow:a", 2)) == 2


async def test_link_killed_again_and_again_comes_back(receiver: Receiver, log: AppendingLog, redis: Cli) -> None:
    """Every loss is told once, every return is told once, and the last state is that of a new link."""
    await receiver.subscribe("workflow:a")
    for time in range(1, 6):
        await redis.client_kill_filter(_type="pubsub")
        await receiver.until(lambda time=time: receiver.downs == time)  # type: ignore[misc]
        await receiver.until_up(time + 1)
        await exchange(receiver, log, "a", time)
    assert (receiver.ups, receiver.downs) == (6, 5)
    assert receiver.subscriber.statistics().generation == 6


async def test_server_restarted_on_its_port(binary: str | None) -> None:
    """A server that is killed and started anew gets its channels back; between, calls say no at once."""
    async with contextlib.AsyncExitStack() as stack:
        server = EmbeddedBroker(port=0, binary=binary)
        await server.start()
        stack.push_async_callback(server.stop)
        receiver = await stack.enter_async_context(Receiver(server.url))
        log = await stack.enter_async_context(AppendingLog(server.url, name="edgebus-producer-test"))
        await receiver.subscribe("workflow:a")
        await exchange(receiver, log, "a", 1)
        first = front((await receiver.of("workflow:a", 1))[0])[0]
        async with Redis.from_url(server.url) as redis:
            epoch = await redis.get("bus:epoch")
        os.kill(server.pid, signal.SIGKILL)
        await until_refused(receiver)
        with pytest.raises(BusUnavailable, match="edgebus broker"):
            await log.append(entries(Stage(workflow_id="a")))
        await server.stop()
        again = await stack.enter_async_context(EmbeddedBroker(port=server.port, binary=binary))
        await receiver.until_up(2)
        await exchange(receiver, log, "a", 2)
        position, previous = front((await receiver.of("workflow:a", 2))[1])
        assert (receiver.downs, previous) == (1, "0-0")
        assert position != first
        async with Redis.from_url(again.url) as redis:
            assert await redis.get("bus:epoch") not in {None, epoch}


async def test_server_that_comes_later_is_found(binary: str | None) -> None:
    """A link started before its server says no at once, keeps trying, and is up soon after the server is."""
    port = free_port()
    async with (
        Receiver(f"redis://127.0.0.1:{port}") as receiver,
        AppendingLog(f"redis://127.0.0.1:{port}", name="test") as log,
    ):
        await until_refused(receiver)
        with pytest.raises(BusUnavailable, match="edgebus broker"):
            await log.ping()
        async with EmbeddedBroker(port=port, binary=binary):
            await receiver.subscribe("workflow:a")
            assert receiver.downs == 0
            await exchange(receiver, log, "a", 1)


async def test_unsubscribed_while_down_is_not_subscribed_anew(binary: str | None) -> None:
    """A room that was left during an outage stays left."""
    server = EmbeddedBroker(port=0, binary=binary)
    await server.start()
    async with Receiver(server.url) as receiver:
        await receiver.subscribe("workflow:a", "workflow:b", "workflow:c")
        await server.stop()
        await until_refused(receiver)
        with pytest.raises(BusUnavailable):
            await receiver.subscriber.unsubscribe("workflow:a")
        receiver.subscriber.forget("workflow:b")
        async with EmbeddedBroker(port=server.port, binary=binary) as again, Redis.from_url(again.url) as redis:
            await receiver.until_up(2)
            assert set(await redis.pubsub_channels()) == {b"workflow:c"}


async def test_password_is_used_and_hidden(binary: str | None) -> None:
    """With the right password both links work; with a wrong one or none they say so and never show it."""
    secret = "p@ss/w:rd"
    with EmbeddedBroker(port=0, binary=binary, extra=("--requirepass", secret)) as server:
        right = server.url.replace("//", "//:p%40ss%2Fw%3Ard@")
        async with Receiver(right) as receiver, AppendingLog(right, name="test") as log:
            await receiver.subscribe("workflow:a")
            await exchange(receiver, log, "a", 1)
        for url in (server.url, server.url.replace("//", "//:hunter2@"), server.url.replace("//", "//me:hunter2@")):
            async with Receiver(url) as receiver, AppendingLog(url, name="test") as log:
                with pytest.raises(BusUnavailable) as caught:
                    await log.ping()
                with pytest.raises(BusUnavailable) as refused:
                    await receiver.subscriber.subscribe("workflow:a")
                assert "hunter2" not in f"{caught.value}{refused.value}"
                assert "log-in" in str(caught.value)
                assert not receiver.subscriber.is_up


async def test_user_and_password_log_in(binary: str | None) -> None:
    """A URL may name a user of Redis' access lists."""
    with EmbeddedBroker(port=0, binary=binary, extra=("--user", "me", "on", ">secret", "~*", "&*", "+@all")) as server:
        url = server.url.replace("//", "//me:secret@")
        async with Receiver(url, name="edgebus-edge-me") as receiver, AppendingLog(url, name="test") as log:
            await receiver.subscribe("workflow:a")
            await exchange(receiver, log, "a", 1)
            async with Redis.from_url(url) as redis:
                users = {it["name"]: it["user"] for it in await redis.client_list()}
            assert users["edgebus-edge-me"] == users["test"] == "me"


async def test_unix_socket_works(binary: str | None, tmp_path: Path) -> None:
    """A URL may name a socket of the file system."""
    path = tmp_path / "redis.sock"
    with EmbeddedBroker(port=0, binary=binary, extra=("--unixsocket", str(path))):
        async with Receiver(f"unix://{path}") as receiver, AppendingLog(f"unix://{path}", name="test") as log:
            await receiver.subscribe("workflow:a")
            await exchange(receiver, log, "a", 1)


async def test_deliver_that_raises_ends_the_subscriber(broker: Broker, log: AppendingLog) -> None:
    """A fault of ours in `deliver` ends the supervisor with that very error, and does not come back as a reconnect."""

    def deliver(_batch: object) -> None:
        raise ZeroDivisionError

    up = asyncio.Event()
    async with Subscriber(broker.url, name="edgebus-edge-test", deliver=deliver, on_up=up.set) as link:
        async with asyncio.timeout(DEADLINE_S):
            await up.wait()
            await link.subscribe("workflow:a")
            await log.append(entries(Stage(workflow_id="a")))
            with pytest.raises(ZeroDivisionError):
                await link.closed()
        assert not link.is_up
        with pytest.raises(BusUnavailable):
            await link.subscribe("workflow:b")


async def test_cancelled_subscribe_leaves_the_link_usable(
    receiver: Receiver, log: AppendingLog, broker: Broker
) -> None:
    """Whoever gives up waiting disturbs nobody: answers still reach those who asked for them."""
    await receiver.subscribe("workflow:a")
    with stopped(broker.pid):
        given_up = [asyncio.create_task(receiver.subscriber.subscribe(f"workflow:x{number}")) for number in range(3)]
        await asyncio.sleep(0)
        for task in given_up:
            task.cancel()
        await asyncio.wait(given_up)
        waiting = asyncio.create_task(receiver.subscriber.subscribe("workflow:b"))
        await asyncio.sleep(0)
    async with asyncio.timeout(DEADLINE_S):
        await waiting
    assert receiver.subscriber.statistics().channels == 2
    await exchange(receiver, log, "b", 1)
    await exchange(receiver, log, "a", 2)
    assert receiver.downs == 0


async def test_cancelled_append_leaves_the_log_usable(log: AppendingLog, broker: Broker) -> None:
    """After a call that was cancelled while Redis was at work, the next one gets its own answer and not the other's."""
    await log.ping()
    with stopped(broker.pid):
        stages = [Stage(workflow_id="given_up") for _ in range(3)]
        given_up = asyncio.create_task(log.append(entries(*stages)))
        for _ in range(50):  # past the writing: there wait_for of Python 3.11 can swallow a cancellation
            await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])
        assert given_up.cancelled()
    for number in range(3):
        (appended,) = await log.append(entries(Stage(workflow_id=f"next{number}")))
        assert isinstance(appended, Appended)
        (head,) = await log.heads([WORKFLOW.fill(f"next{number}")])
        assert head.position == appended.position


async def test_hanging_server_fails_subscribe_within_its_deadline(
    receiver: Receiver, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that hangs is given up at the deadline; the link is told lost, and comes back when the server does."""
    await receiver.subscribe("workflow:a")
    monkeypatch.setattr(subscriber, "ANSWER_DEADLINE_S", 0.2)
    with stopped(broker.pid):
        async with asyncio.timeout(2):
            with pytest.raises(BusUnavailable, match="in time"):
                await receiver.subscriber.subscribe("workflow:b")
        await receiver.until(lambda: receiver.downs == 1)
        await until_refused(receiver, "does not answer")
    monkeypatch.undo()
    await receiver.until_up(2)
    await receiver.subscriber.subscribe("workflow:b")


async def test_hanging_server_fails_a_publish_within_its_deadline(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every wait for an answer has an end, and afterwards the connection is a new one that is in step."""
    monkeypatch.setattr(address, "ANSWER_DEADLINE_S", 0.2)
    async with AppendingLog(broker.url, name="edgebus-producer-test") as log:
        await log.ping()
        with stopped(broker.pid):
            async with asyncio.timeout(2):
                with pytest.raises(BusTimeout):
                    await log.append(entries(Stage(workflow_id="hang", number=1)))
        (appended,) = await log.append(entries(Stage(workflow_id="after", number=2)))
        assert isinstance(appended, Appended)
        past = await log.history(WORKFLOW.fill("after"))
        assert [event.data["number"] for event in past.events] == [2]


async def test_silent_peer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that accepts and never answers is no Redis: the link keeps trying and stays down."""
    monkeypatch.setattr("bus.redis.opening.ATTEMPT_DEADLINE_S", 0.05)
    async with black_hole() as port, Receiver(f"redis://127.0.0.1:{port}") as receiver:
        await until_refused(receiver, "does not answer")
        assert receiver.ups == receiver.downs == 0


async def test_peer_that_is_no_redis_is_given_up() -> None:
    """A web server on the port is told apart from a Redis, and the link goes on trying instead of ending."""
    answered = asyncio.Semaphore(0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
        answered.release()
        writer.close()

    async with (
        await asyncio.start_server(answer, "127.0.0.1", 0) as server,
        Receiver(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}") as receiver,
    ):
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(3):
                await answered.acquire()
        await until_refused(receiver, "is no Redis")


async def test_deliver_that_raises_while_channels_are_subscribed_anew_ends_the_subscriber() -> None:
    """A fault of ours that strikes during a reconnect is not taken for a link that failed."""

    def deliver(_batch: object) -> None:
        raise ZeroDivisionError

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Confirm what is asked; on every connection but the first, send a line before any confirmation."""
        connections.append(writer)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1_000):
                if b"SETNAME" in data:
                    writer.write(b"+OK\r\n")
                if b"ROLE" in data:
                    writer.write(b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n")
                if b"SUBSCRIBE" in data:
                    is_first = writer is connections[0]
                    writer.write(CONFIRMATION if is_first else MESSAGE)
        writer.close()

    connections: list[asyncio.StreamWriter] = []
    up = asyncio.Event()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Subscriber(url, name="test", deliver=deliver, on_up=up.set) as link, asyncio.timeout(DEADLINE_S):
            await up.wait()
            await link.subscribe("a")
            connections[0].transport.abort()
            with pytest.raises(ZeroDivisionError):
                await link.closed()


async def test_connections_are_gone_when_closed(broker: Broker, redis: Cli) -> None:
    """Sender and receiver leave no connection behind in Redis."""
    async with (
        Receiver(broker.url, name="edgebus-edge-gone") as receiver,
        AppendingLog(broker.url, name="edgebus-gone") as log,
    ):
        await receiver.subscribe("workflow:a")
        await exchange(receiver, log, "a", 1)
        assert {"edgebus-edge-gone", "edgebus-gone"} <= {it["name"] for it in await redis.client_list()}

    async def are_gone() -> bool:
        return not {"edgebus-edge-gone", "edgebus-gone"} & {it["name"] for it in await redis.client_list()}

    await eventually(are_gone)
