"""A client publishes: what the catalogue opens, to whom, how much; and the answer."""

import asyncio
import json
import time
from typing import Any, Final

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from bus.channel import LIVE, Family
from bus.client_event import ClientEvent
from bus.event import Event
from bus.service import Service
from edges import Edge
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import TEXT, Client, Closed, frame
from tests.edges.signing import SECRET, token

DIAGRAM: Final = Family("diagram:{diagram_id}")
ELEMENT: Final = Family("element:{element_id}")
CURSOR: Final = Family("cursor:{diagram_id}", LIVE)
MINE: Final = Family("mine:{user_id}")


class Drawn(Event, event="element.drawn", channels=(DIAGRAM, ELEMENT)):
    diagram_id: str
    element_id: str
    user_id: str
    text: str = ""


class Moved(Event, event="cursor.moved", channels=(CURSOR,)):
    diagram_id: str
    user_id: str
    x: int


class Noted(Event, event="note.made", channels=(MINE.by("owner"),)):
    owner: str
    text: str


class Saved(Event, event="diagram.saved", channels=(DIAGRAM,)):
    diagram_id: str


BOARD: Final = Service(
    name="board",
    port=8699,
    welcome="Connected to the board",
    families=(DIAGRAM, ELEMENT, CURSOR, MINE),
    events=(Drawn, Moved, Noted, Saved),
    client_events=(
        ClientEvent(Drawn, "diagram:write", sender="user_id"),
        ClientEvent(Moved, "diagram:write", sender="user_id", without_tokens=True),
        ClientEvent(Noted, "note:write"),
    ),
)
WRITER: Final = ["diagram:write", "board:read", "note:write"]
DRAWN: Final = {"diagram_id": "d", "element_id": "e"}


def publish(event: Any = "element.drawn", data: Any = DRAWN, request_id: str | None = "p1") -> dict[str, Any]:
    """Return the verb's own form."""
    message = {"type": "request", "event": "publish", "data": {"event": event, "data": data}, "id": request_id}
    return {key: value for key, value in message.items() if value is not None}


@pytest.fixture
async def edge(broker: EmbeddedBroker, start_edge: StartEdge) -> Edge:
    return await start_edge(broker, BOARD, auth_secret=SECRET)


class Said:
    """A client's talk: what was sent, and the answers by the request they belong to."""

    def __init__(self, client: Client) -> None:
        self.client, self.events = client, list[dict[str, Any]]()

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send, and return the answer; events on the way are kept."""
        self.client.send(message)
        return await self.answer(message.get("id"))

    async def answer(self, asked: str | None) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while True:
                message: dict[str, Any] = await self.client.message()
                if message["type"] in ("response", "error", "pong") and message["correlation_id"] == asked:
                    return message
                self.events.append(message)

    async def event(self, name: str) -> dict[str, Any]:
        """Return the next event called ``name``."""
        async with asyncio.timeout(10):
            while True:
                found = next((it for it in self.events if it["event"] == name), None)
                if found is not None:
                    self.events.remove(found)
                    return found
                self.events.append(await self.client.message())


async def talk(edge: Edge, open_client: OpenClient, user: str | None = "alice", permissions: Any = WRITER) -> Said:
    """Return a client, with a token for ``user``."""
    said = Said(await open_client(edge))
    if user is not None:
        shown = {"type": "request", "event": "auth", "data": {"token": token(user, permissions)}, "id": "auth"}
        assert (await said.ask(shown))["type"] == "response"
    return said


async def watch(said: Said, channel: str) -> None:
    subscribe = {"type": "request", "event": "subscribe", "data": {"channel": channel}, "id": f"watch {channel}"}
    assert (await said.ask(subscribe))["data"]["status"] == "subscribed"


async def stored(redis: Redis, channel: str = "diagram:d") -> list[dict[str, Any]]:
    entries: Any = await redis.xrange(f"bus:log:{{{channel}}}")
    return [json.loads(fields[b"line"]) for _, fields in entries]


async def test_event_of_a_client_reaches_watchers_and_the_log_under_the_tokens_name(
    edge: Edge, open_client: OpenClient, redis: Redis
) -> None:
    """The answer has id and positions; the event has the request's id, and the sender is the token's user."""
    alice, bob = await talk(edge, open_client), await talk(edge, open_client, "bob")
    await watch(bob, "diagram:d")
    answer = await alice.ask(publish())
    event = await bob.event("element.drawn")
    assert answer["event"] == "publish"
    assert answer["data"] == {
        "status": "published",
        "id": "p1",
        "positions": {"diagram:d": event["position"], "element:e": answer["data"]["positions"]["element:e"]},
        "position": event["position"],
    }
    assert event["id"] == "p1"
    assert {key: event["data"][key] for key in ("diagram_id", "element_id", "user_id")} == {**DRAWN, "user_id": "alice"}
    assert [it["id"] for it in await stored(redis)] == ["p1"]


async def test_form_of_the_ecosystem_is_the_same(edge: Edge, open_client: OpenClient, redis: Redis) -> None:
    """A message of type `event` is a publish; `subscribe` in such a message stays what it was."""
    alice = await talk(edge, open_client)
    answer = await alice.ask({"type": "event", "event": "element.drawn", "data": DRAWN, "id": "p1"})
    assert (answer["event"], answer["data"]["id"]) == ("publish", "p1")
    joined = await alice.ask({"type": "event", "event": "subscribe", "data": {"room": "diagram:d"}, "id": "s"})
    assert joined["data"]["status"] == "subscribed"
    assert len(await stored(redis)) == 1


async def test_event_without_a_requests_id_has_one_of_the_edge(
    edge: Edge, open_client: OpenClient, redis: Redis
) -> None:
    """An id is made, and answered."""
    alice = await talk(edge, open_client)
    answer = await alice.ask(publish(request_id=None))
    assert [it["id"] for it in await stored(redis)] == [answer["data"]["id"]]


async def test_repetition_on_another_connection_at_another_edge_is_stored_once(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, redis: Redis
) -> None:
    """The answer names the position of the first; another user's request with the same id is another event."""
    edges = [await start_edge(broker, BOARD, auth_secret=SECRET) for _ in range(2)]
    first = await (await talk(edges[0], open_client)).ask(publish())
    again = await (await talk(edges[1], open_client)).ask(publish())
    other = await (await talk(edges[1], open_client, "bob")).ask(publish())
    assert again["data"] == first["data"]
    assert other["data"]["position"] != first["data"]["position"]
    assert [it["data"]["user_id"] for it in await stored(redis)] == ["alice", "bob"]


@pytest.mark.parametrize(
    ("caller", "message", "code", "words"),
    [
        ((None, ()), publish(), "FORBIDDEN", "element.drawn needs a token with the permission diagram:write"),
        ((None, ()), publish("cursor.moved", {}), "FORBIDDEN", "cursor.moved needs the permission diagram:write"),
        (("carol", ["board:read"]), publish(), "FORBIDDEN", "element.drawn needs the permission diagram:write"),
        (
            ("alice", WRITER),
            publish("diagram.saved", {}),
            "FORBIDDEN",
            "event: not open to clients; clients may publish",
        ),
        (("alice", WRITER), publish("no.event", {}), "INVALID_REQUEST", "event: no such event; clients may publish"),
        (("alice", WRITER), publish(data={**DRAWN, "user_id": "bob"}), "FORBIDDEN", "user_id: the token is of another"),
        (
            ("alice", WRITER),
            publish(data={**DRAWN, "user_id": 5}),
            "FORBIDDEN",
            "user_id: the token is of another user",
        ),
        (
            ("alice", WRITER),
            publish(data={**DRAWN, "text": 5}),
            "INVALID_REQUEST",
            "text: input should be a valid string",
        ),
        (("alice", WRITER), publish(data={"element_id": "e"}), "INVALID_REQUEST", "diagram_id: field required"),
        (("alice", WRITER), publish(data={**DRAWN, "more": 1}), "INVALID_REQUEST", "more: extra inputs are not"),
        (("alice", WRITER), publish(data={**DRAWN, "element_id": ""}), "INVALID_REQUEST", "element_id must give"),
        (("alice", WRITER), publish(data=[]), "INVALID_REQUEST", "data: expected an object, the event's fields"),
        (("alice", WRITER), publish(event=7), "INVALID_REQUEST", "event: expected the name of an event in data"),
        (("alice", WRITER), publish(request_id='a"b'), "INVALID_REQUEST", "id: an event's id has neither"),
        (("alice", WRITER), publish("note.made", {"owner": "bob", "text": "x"}), "FORBIDDEN", "mine:{user_id} is for"),
        (("alice", WRITER), publish(data={**DRAWN, "text": "x" * 33_000}), "INVALID_REQUEST", "max_publish_bytes: the"),
    ],
)
async def test_refused_publish_says_why_and_stores_nothing(
    edge: Edge,
    open_client: OpenClient,
    redis: Redis,
    caller: tuple[str | None, Any],
    message: Any,
    code: str,
    words: str,
) -> None:
    """Code and sentence name the reason; the connection goes on."""
    said = await talk(edge, open_client, *caller)
    refused = await said.ask(message)
    assert (refused["type"], refused["error_code"]) == ("error", code)
    assert words in refused["error_message"]
    assert (await said.ask({"type": "ping", "id": "after"}))["type"] == "pong"
    assert await redis.keys("bus:log:*") == []


async def test_equal_sender_is_taken_and_admins_publish(edge: Edge, open_client: OpenClient, redis: Redis) -> None:
    """The token's user in the sender's field is no forgery; `board:admin` opens what is open to clients."""
    alice = await talk(edge, open_client)
    assert (await alice.ask(publish(data={**DRAWN, "user_id": "alice"})))["type"] == "response"
    own = publish("note.made", {"owner": "alice", "text": "x"}, "p2")
    assert (await alice.ask(own))["type"] == "response"
    admin = await talk(edge, open_client, "root", ["board:admin"])
    assert (await admin.ask(publish(request_id="p3")))["type"] == "response"
    assert [it["data"]["user_id"] for it in await stored(redis)] == ["alice", "root"]


async def test_without_tokens_the_client_names_itself_where_the_catalogue_opens_that(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """An edge without keys takes the sender from the client for such events, and refuses others still."""
    edge = await start_edge(broker, BOARD)
    said = await talk(edge, open_client, None)
    await watch(said, "cursor:d")
    moved = {"diagram_id": "d", "user_id": "guest", "x": 1}
    answer = await said.ask(publish("cursor.moved", moved))
    assert answer["data"]["positions"] == {"cursor:d": None}
    assert (await said.event("cursor.moved"))["data"]["user_id"] == "guest"
    refused = await said.ask(publish(request_id="p2"))
    assert refused["error_code"] == "FORBIDDEN"


async def test_rate_is_the_connections_and_the_users(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """Beyond the bucket a publish is refused with a time; many connections of a user share one account."""
    limits = {"publish_rate_limit": 1, "publish_rate_limit_per_user": 2}
    edge = await start_edge(broker, BOARD, auth_secret=SECRET, **limits)
    assert edge.settings.publish_rate_limit == 1
    one, two, three = [await talk(edge, open_client) for _ in range(3)]
    answers = [await said.ask(publish(request_id=f"p{n}")) for said in (one, two) for n in range(3)]
    assert [it["error_code"] for it in answers[:3]] == [None, None, "RATE_LIMIT_EXCEEDED"]
    assert "publish_rate_limit: the limit is 1 per second" in answers[2]["error_message"]
    assert answers[2]["data"]["retry_after_ms"] > 0
    [extra] = [await three.ask(publish(request_id="p9"))]
    assert "publish_rate_limit_per_user: the limit is 2" in extra["error_message"]
    assert edge.statistics()[0].limited["publish_rate_limit_per_user"] >= 1
    bob = await talk(edge, open_client, "bob")
    assert (await bob.ask(publish(request_id="p1")))["type"] == "response"


async def test_bytes_are_counted_and_a_large_event_is_a_debt(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """The bytes of a second's worth are let through, and the next waits."""
    edge = await start_edge(broker, BOARD, auth_secret=SECRET, publish_bytes_per_second=1024)
    alice = await talk(edge, open_client)
    assert (await alice.ask(publish(data={**DRAWN, "text": "x" * 3_000})))["type"] == "response"
    refused = await alice.ask(publish(request_id="p2"))
    assert "publish_bytes_per_second: the limit is 1024" in refused["error_message"]


async def test_welcome_names_the_rate_where_clients_may_publish(
    edge: Edge, broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """None where no event is open to clients, and there the verb is unknown."""
    for one, rate in ((edge, 50), (await start_edge(broker), None)):
        said = Said(await open_client(one))
        answer = await said.ask(publish("cursor.moved", {}))
        assert (await said.event("session.created"))["data"]["publish_rate_limit"] == rate
        assert (answer["error_code"] == "UNKNOWN_REQUEST") == (rate is None)
        by_type = await said.ask({"type": "event", "event": "cursor.moved", "data": {}, "id": "x"})
        assert (by_type["error_code"] == "UNKNOWN_REQUEST") == (rate is None)


async def test_outage_is_an_answer_and_holds_up_no_other_verb(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """Without Redis a publish is `UNAVAILABLE` in the end; a ping behind is answered before that."""
    edge = await start_edge(None, BOARD, auth_secret=SECRET, redis_url="redis://127.0.0.1:1")
    alice = await talk(edge, open_client)
    alice.client.send(publish())
    alice.client.send({"type": "ping", "id": "ping"})
    assert (await alice.answer("ping"))["type"] == "pong"
    assert not [it for it in alice.events if it["type"] == "error"]
    refused = await alice.answer("p1")
    assert (refused["error_code"], refused["data"]["retry_after_ms"]) == ("UNAVAILABLE", 1000)


async def test_order_of_a_client_is_kept(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, redis: Redis
) -> None:
    """A hundred at once, more than may be under way: stored in the order of sending, and each answered."""
    limits = {"publish_rate_limit": 1000, "publish_rate_limit_per_user": 1000, "message_rate_limit": 1000}
    edge = await start_edge(broker, BOARD, auth_secret=SECRET, **limits)
    alice = await talk(edge, open_client)
    ids = [f"p{n}" for n in range(100)]
    for one in ids:
        alice.client.send(publish(request_id=one))
    await alice.answer(ids[-1])
    assert [it["id"] for it in await stored(redis)] == ids


async def test_a_message_of_a_megabyte_ends_the_connection_alone(edge: Edge, open_client: OpenClient) -> None:
    """As any message of that size; others publish on."""
    alice, bob = await talk(edge, open_client), await talk(edge, open_client, "bob")
    big = json.dumps(publish(data={**DRAWN, "text": "x" * 1_000_000})).encode()
    alice.client.write(frame(TEXT, big))
    assert await alice.client.close_code() == 1009
    assert (await bob.ask(publish()))["type"] == "response"


async def test_publish_after_the_end_of_the_token(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient, redis: Redis
) -> None:
    """At its end a token's client is told, and sent away; what it publishes behind that is stored nowhere."""
    edge = await start_edge(broker, BOARD, auth_secret=SECRET, auth_required=True)
    said = Said(await open_client(edge))
    shown = {"token": token("alice", WRITER, exp=time.time() + 1)}
    await said.ask({"type": "request", "event": "auth", "data": shown, "id": "auth"})
    while (message := await said.client.message())["type"] != "error":
        pass
    assert message["error_code"] == "AUTH_REQUIRED"
    said.client.send(publish())
    with pytest.raises(Closed) as closed:
        await said.answer("p1")
    assert closed.value.code == 1008
    assert await stored(redis) == []
