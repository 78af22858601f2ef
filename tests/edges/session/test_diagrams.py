"""Drawing together: users of excalidraw draw, lock and meet at replicas of an edge, with no process of the service."""

from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from edges import Edge
from producers.services.excalidraw import SERVICE
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import eventually
from tests.edges.session.test_publish import Said, publish, stored, talk, watch
from tests.edges.signing import SECRET

WRITER = ["diagram:write", "excalidraw:read"]


@pytest.fixture
async def edges(broker: EmbeddedBroker, start_edge: StartEdge) -> list[Edge]:
    return [await start_edge(broker, SERVICE, auth_secret=SECRET) for _ in range(2)]


def ask(verb: str, request_id: str = "asked", **data: Any) -> dict[str, Any]:
    return {"type": "request", "event": verb, "data": {"diagram_id": "d", **data}, "id": request_id}


def draw(name: str, request_id: str) -> dict[str, Any]:
    return publish("element.added", {"diagram_id": "d", "element": {"id": name}}, request_id)


async def test_lock_refuses_others_at_every_replica_until_the_holder_or_an_admin_frees(
    edges: list[Edge], open_client: OpenClient, redis: Redis
) -> None:
    """The refusal names the holder; the holder draws on; an admin frees what nobody else may."""
    alice, bob = await talk(edges[0], open_client, "alice", WRITER), await talk(edges[1], open_client, "bob", WRITER)
    root = await talk(edges[1], open_client, "root", ["excalidraw:admin"])
    lock = publish("diagram.locked", {"diagram_id": "d", "reason": "review"}, "1")
    assert (await alice.ask(lock))["data"]["status"] == "published"
    for one in (draw("e1", "2"), publish("diagram.unlocked", {"diagram_id": "d"}, "3"), lock | {"id": "4"}):
        refused = await bob.ask(one)
        assert refused["error_code"] == "FORBIDDEN"
        assert refused["error_message"] == "diagram:d is held by alice; alice or an admin can free it"
    nameless = {key: value for key, value in draw("e2", "").items() if key != "id"}
    assert (await bob.ask(nameless))["error_code"] == "FORBIDDEN"
    assert (await alice.ask(draw("e3", "5")))["type"] == "response"
    assert (await root.ask(draw("e4", "6")))["error_code"] == "FORBIDDEN"
    assert (await root.ask(publish("diagram.unlocked", {"diagram_id": "d"}, "7")))["type"] == "response"
    assert (await bob.ask(draw("e1", "2")))["type"] == "response"
    status = await bob.ask(ask("get_diagram_status"))
    assert status["data"]["locked_by"] is None
    assert [it["event"] for it in await stored(redis)] == [
        "diagram.locked", "element.added", "diagram.unlocked", "element.added",
    ]  # fmt: skip


async def test_newcomer_is_given_the_elements_as_they_stand(edges: list[Edge], open_client: OpenClient) -> None:
    """The state of a diagram: of deleted elements the tombstone alone, of others what was changed last."""
    alice, bob = await talk(edges[0], open_client, "alice", WRITER), await talk(edges[1], open_client, "bob", WRITER)
    for number, one in enumerate(("e1", "e2")):
        await alice.ask(draw(one, str(number)))
    for number, changes in enumerate(({"x": 1}, {"y": 2}, {"x": 3})):
        data = {"diagram_id": "d", "element_id": "e1", "changes": changes}
        await alice.ask(publish("element.updated", data, f"u{number}"))
    await alice.ask(publish("element.deleted", {"diagram_id": "d", "element_id": "e2"}, "gone"))
    answer = await bob.ask(
        {"type": "request", "event": "subscribe", "data": {"channel": "diagram:d", "state": True}, "id": "s"}
    )
    assert (answer["data"]["status"], answer["data"]["state"]) == ("subscribed", 4)
    names = [(await bob.client.message())["event"] for _ in range(4)]
    assert names == ["element.added", "element.updated", "element.updated", "element.deleted"]
    found = await bob.ask(ask("get_elements"))
    assert found["data"]["elements"] == [{"id": "e1", "y": 2, "x": 3}]


async def test_whoever_may_only_watch_draws_nothing(edges: list[Edge], open_client: OpenClient) -> None:
    """A permission to read is none to draw."""
    carol = await talk(edges[0], open_client, "carol", ["excalidraw:read"])
    await watch(carol, "diagram:d")
    refused = await carol.ask(draw("e1", "1"))
    assert (refused["error_code"], refused["error_message"]) == (
        "FORBIDDEN", "element.added needs the permission diagram:write",
    )  # fmt: skip


async def active(said: Said, **data: Any) -> list[str]:
    answer = await said.ask(ask("get_active_users", **data))
    return [it["user_id"] for it in answer["data"]["users"]]


async def are_active(said: Said, *users: str) -> None:
    async def is_so() -> bool:
        return await active(said) == list(users)

    await eventually(is_so)


async def test_user_joins_is_seen_at_every_replica_and_leaves(edges: list[Edge], open_client: OpenClient) -> None:
    """Joining tells all once, with what others are to see; two tabs are one user; leaving tells all."""
    watcher = await talk(edges[1], open_client, "watcher", WRITER)
    await watch(watcher, "collaboration:d")
    alice, tab = [await talk(edge, open_client, "alice", WRITER) for edge in edges]
    answer = await alice.ask(ask("join_collaboration", user_info={"name": "Alice", "color": "red"}))
    assert answer["data"] == {"diagram_id": "d", "user_id": "alice", "status": "joined"}
    assert await active(alice) == ["alice"]
    await tab.ask(ask("join_collaboration", user_info={"name": "Alice", "color": "red"}))
    joined = await watcher.event("user.joined")
    assert joined["room"] == "collaboration:d"
    assert joined["data"]["user_id"] == "alice"
    assert joined["data"]["user_info"] == {"name": "Alice", "color": "red"}
    await are_active(watcher, "alice")
    for one in (tab, alice):
        left = await one.ask({"type": "request", "event": "leave_collaboration", "data": {"room_id": "d"}, "id": "l"})
        assert left["data"]["status"] == "left"
    await watcher.event("user.left")
    assert await active(alice) == []
    assert [it for it in watcher.events if it["event"] in ("user.joined", "user.left")] == []


async def test_client_that_goes_without_leaving_has_left(edges: list[Edge], open_client: OpenClient) -> None:
    """Who closes the connection, or whose edge stops, is told as gone."""
    watcher = await talk(edges[0], open_client, "watcher", WRITER)
    await watch(watcher, "collaboration:d")
    alice, bob = [
        await talk(edge, open_client, name, WRITER) for edge, name in zip(edges, ("alice", "bob"), strict=True)
    ]
    for one in (alice, bob):
        await one.ask(ask("join_collaboration"))
    await are_active(watcher, "alice", "bob")
    await alice.client.close()
    assert (await watcher.event("user.left"))["data"]["user_id"] == "alice"
    await edges[1].stop()
    assert (await watcher.event("user.left"))["data"]["user_id"] == "bob"
    await are_active(watcher)


async def test_cursor_by_request_is_the_publish_of_the_event(edges: list[Edge], open_client: OpenClient) -> None:
    """The request, the event's own form and the verb are one: the sender is the token's user."""
    alice, bob = await talk(edges[0], open_client, "alice", WRITER), await talk(edges[1], open_client, "bob", WRITER)
    await watch(bob, "cursor:d")
    answer = await alice.ask(ask("broadcast_cursor", user_id="alice", position={"x": 1, "y": 2}))
    assert answer["event"] == "broadcast_cursor"
    assert answer["data"] == {"diagram_id": "d", "status": "published", "id": "asked"}
    own = {"diagram_id": "d", "user_id": "alice", "position": {"x": 3}}
    alice.client.send({"type": "event", "event": "cursor.moved", "data": own})
    moved = [await bob.event("cursor.moved") for _ in range(2)]
    assert [it["data"]["position"] for it in moved] == [{"x": 1, "y": 2}, {"x": 3}]
    assert {it["data"]["user_id"] for it in moved} == {"alice"}


@pytest.mark.parametrize(
    ("verb", "data", "code", "words"),
    [
        ("join_collaboration", {"user_id": "bob"}, "FORBIDDEN", "user_id: the token says who a client is"),
        ("join_collaboration", {"user_id": ""}, "INVALID_REQUEST", "user_id: expected 1 to 128 printable"),
        ("join_collaboration", {"user_info": {"x": "y" * 2_000}}, "INVALID_REQUEST", "user_info: more than 1024 bytes"),
        ("join_collaboration", {"user_info": "Alice"}, "INVALID_REQUEST", "user_info: "),
        ("join_collaboration", {"diagram_id": ""}, "INVALID_REQUEST", "diagram_id: "),
        ("leave_collaboration", {"user_id": "bob"}, "FORBIDDEN", "user_id: the token says"),
        ("broadcast_cursor", {"position": {}, "user_id": "bob"}, "FORBIDDEN", "user_id: the token is of another user"),
        ("broadcast_cursor", {}, "INVALID_REQUEST", "position: field required"),
        ("get_active_users", {"diagram_id": 5}, "INVALID_REQUEST", "diagram_id: "),
    ],
)
async def test_refused_request_says_why(
    edges: list[Edge], open_client: OpenClient, verb: str, data: dict[str, Any], code: str, words: str
) -> None:
    """Code and sentence name the field; nobody has joined."""
    alice = await talk(edges[0], open_client, "alice", WRITER)
    refused = await alice.ask(ask(verb, **data))
    assert (refused["event"], refused["error_code"]) == (verb, code)
    assert words in refused["error_message"]
    assert await active(alice) == []


async def test_without_tokens_the_client_says_who_it_is(
    broker: EmbeddedBroker, start_edge: StartEdge, open_client: OpenClient
) -> None:
    """An edge without keys believes the client, as the services' own servers did."""
    edge = await start_edge(broker, SERVICE)
    guest = await talk(edge, open_client, None)
    nameless = await guest.ask(ask("join_collaboration"))
    assert (nameless["error_code"], nameless["error_message"]) == ("INVALID_REQUEST", "user_id: field required")
    await watch(guest, "presence:d")
    answer = await guest.ask(ask("join_collaboration", user_id="guest 1"))
    assert answer["data"]["user_id"] == "guest 1"
    assert (await guest.event("user.joined"))["data"]["user_id"] == "guest 1"
    assert await active(guest) == ["guest 1"]
