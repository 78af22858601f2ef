"""Drawing together: users of excalidraw draw, lock and meet at replicas of an edge, with no process of the service."""

from typing import Any

import pytest
from redis.asyncio import Redis

from bus.broker.embedded import EmbeddedBroker
from edges import Edge
from producers.services.excalidraw import SERVICE
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.session.test_publish import publish, stored, talk, watch
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
