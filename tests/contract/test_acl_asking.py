"""Users of Redis for questions: each does its part, and Redis' own log shows that nothing was refused on the way."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel
from redis.asyncio import Redis

from bus.channel import Family
from bus.redis.acl import ROLES, Role, parse_hash, users
from bus.service import Request, Service
from clients import connect
from edges import Edge, EdgeSettings
from producers import Responder
from tests.contract.brokers import Broker

PASSWORD = "secret-of-a-test"
THINGS = Family("things:{thing}")


class Render(BaseModel):
    component: str


class Rendered(BaseModel):
    html: str


RENDER = Request("render", Render, Rendered, permission="shop:do")
SHOP = Service("shop", 0, "Hello", (THINGS,), (), (RENDER,))
PLAIN = Service("plain", 0, "Hello", (THINGS,), ())


@pytest.fixture
async def admin(broker: Broker) -> AsyncIterator[Any]:
    async with Redis.from_url(broker.url) as one:
        admin: Any = one  # its types are of no use here
        for user in users([SHOP], narrowed=True):
            await admin.execute_command(*user.command(hashlib.sha256(PASSWORD.encode()).hexdigest()).split())
        await admin.execute_command("ACL", "LOG", "RESET")
        yield admin


def url_of(broker: Broker, role: Role) -> str:
    return broker.url.replace("redis://", f"redis://edgebus-{role}-shop:{PASSWORD}@")


async def test_users_of_questions_do_their_part_and_nothing_is_refused(broker: Broker, admin: Any) -> None:
    """A question, an answer, a look, a deadline and an orderly end, each under its own user."""
    settings = EdgeSettings(redis_url=url_of(broker, "edge"), port=0, max_question_s=0.3)
    async with Responder(url_of(broker, "responder"), SHOP) as responder, Edge(SHOP, settings) as edge:

        @responder.answers(RENDER)
        async def render(question: Render) -> Rendered:
            if question.component == "slow":
                await asyncio.Event().wait()
            return Rendered(html=question.component)

        await edge.ready()
        async with connect(f"ws://127.0.0.1:{edge.port}") as client, asyncio.timeout(20):
            while not await admin.zscore("bus:responders:{shop}:render", responder.id):
                await asyncio.sleep(0.005)
            assert await client.request("render", component="nav") == {"html": "nav"}
            with pytest.raises(Exception, match=r"no answer came within 0\.3 s"):
                await client.request("render", component="slow")
            while await admin.xlen("bus:questions:{shop}:render") or await admin.keys("bus:answer:*"):
                await asyncio.sleep(0.005)
    assert await admin.execute_command("ACL", "LOG") == []


@pytest.mark.parametrize(
    ("role", "command", "may"),
    [
        ("edge", "XADD bus:questions:{shop}:render * a b", True),
        ("edge", "XADD bus:questions:{news}:render * a b", False),
        ("edge", "XADD bus:log:{things:1} * a b", False),
        ("edge", "XREADGROUP GROUP g c STREAMS bus:questions:{shop}:render >", False),
        ("edge", "SUBSCRIBE bus:answers:shop-host-1", True),
        ("edge", "PUBLISH bus:answers:shop-host-1 x", False),
        ("edge", "DEL bus:questions:{shop}:render", False),
        ("edge", "SET bus:answer:{shop}:q x", False),
        ("edge", "HSET bus:responder:{shop}:r a b", False),
        ("responder", "PUBLISH bus:answers:shop-host-1 x", True),
        ("responder", "PUBLISH bus:answers:news-host-1 x", False),
        ("responder", "PUBLISH things:1 x", False),
        ("responder", "XADD bus:log:{things:1} * a b", False),
        ("responder", "XADD bus:questions:{shop}:render * a b", False),
        ("responder", "SUBSCRIBE things:1", False),
        ("responder", "KEYS *", False),
        ("responder", "FLUSHALL", False),
        ("operator", "XPENDING bus:questions:{shop}:render responders", True),
        ("operator", "HGETALL bus:responder:{shop}:r", True),
        ("operator", "GET bus:answer:{shop}:q", True),
        ("operator", "PUBLISH bus:answers:shop-host-1 x", False),
        ("producer", "XADD bus:questions:{shop}:render * a b", False),
        ("producer", "GET bus:answer:{shop}:q", False),
    ],
)
async def test_user_may_do_that_and_no_more(admin: Any, role: Role, command: str, may: bool) -> None:
    """Rules in both directions, as Redis itself judges them."""
    answer = await admin.execute_command("ACL", "DRYRUN", f"edgebus-{role}-shop", *command.split())
    assert (answer == b"OK") is may


def test_service_without_live_requests_gains_nothing() -> None:
    """No user for responders, and no rule about questions in any other user's."""
    plain = users([PLAIN])
    assert [it.role for it in plain] == [role for role in ROLES if role != "responder"]
    assert not any("questions" in it.rules or "answer" in it.rules for it in plain)


def test_hash_of_a_responder_is_taken() -> None:
    """`--hash responder=…` is of the role."""
    assert parse_hash("responder=" + "0" * 64)[0] == "responder"
