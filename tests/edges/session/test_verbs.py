"""The table of verbs: a row and a file are all that a new verb takes."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import orjson
import pytest

from bus.channel import Channel
from bus.envelope import end_of, splice
from bus.words import Verb
from edges import Edge
from edges.protocol.messages import Code, Notice, Outgoing, Refusal, Refused, Reply, Said
from edges.session.client import Client
from edges.session.command import Command, Lane, Outcome
from edges.session.verbs import table
from edges.session.verbs.ping import Ping
from edges.session.verbs.table import FLAT_VERBS, VERBS, verbs_of
from producers.services.mahavishnu import SERVICE
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import TEXT, upgrade
from tests.edges.peers import Client as Peer
from tests.edges.signing import SECRET, token
from tests.fuzz.stage import Stage, client_frame

pytestmark = pytest.mark.virtual_time

NO_REDIS = "redis://127.0.0.1:1"


@dataclass(frozen=True, slots=True)
class Echo(Command):
    """Say again what the client said; a shout is only for clients that may read the rooms of the service."""

    text: str
    reply_to: str | None = None
    verb: ClassVar = "echo"

    @classmethod
    def parse(cls, said: Said) -> Self:
        text = said.data.get("text")
        if not isinstance(text, str):
            raise said.refused("text: expected a text")
        return cls(text, said.reply_to)

    def permission(self, client: Client) -> Refusal | None:
        if not self.text.isupper() or client.admission.may_read(SERVICE.channel("global")):
            return None
        return client.admission.forbidden(self.verb, None, self.reply_to)

    def run(self, client: Client) -> Outcome:
        refusal = self.permission(client)
        return (Reply(self.verb, {"text": self.text}, self.reply_to) if refusal is None else refusal,)


@dataclass(frozen=True, slots=True)
class Slow(Command):
    """Answer when the others have said something, and then say more."""

    heard: ClassVar[asyncio.Event]
    reply_to: str | None = None
    verb: ClassVar = "slow"
    is_long: ClassVar = True

    @classmethod
    def parse(cls, said: Said) -> Self:
        return cls(said.reply_to)

    async def run(self, client: Client) -> AsyncGenerator[Outgoing, None]:
        await self.heard.wait()
        yield Reply(self.verb, {}, self.reply_to)
        yield Notice("slow.done", {"user": client.admission.caller.user_id})
        raise Refused(Refusal(Code.TIMEOUT, "that was all", self.verb, self.reply_to))


@dataclass(frozen=True, slots=True)
class Hear(Command):
    """Let the slow go on, ahead of whatever waits."""

    reply_to: str | None = None
    verb: ClassVar = "hear"
    lane: ClassVar = Lane.OVERTAKING
    needs_token: ClassVar = False

    @classmethod
    def parse(cls, said: Said) -> Self:
        return cls(said.reply_to)

    def run(self, client: Client) -> Outcome:
        Slow.heard.set()
        return (Reply(self.verb, {}, self.reply_to),)


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter three verbs into the table, for edges that start from now on."""
    Slow.heard = asyncio.Event()
    for row in (Echo, Slow, Hear):
        monkeypatch.setitem(table.VERBS, row.verb, row)


@pytest.fixture
async def client(start_edge: StartEdge, open_client: OpenClient) -> Peer:
    """Lend a greeted client of an edge with these verbs."""
    client = await open_client(await start_edge(redis_url=NO_REDIS))
    await client.welcomed()
    return client


async def test_verb_of_a_new_row_is_answered(client: Peer) -> None:
    """The table is all that knows the verb: it is read, run and answered like any other."""
    client.request("echo", "e", text="hello")
    reply = await client.message()
    assert (reply["type"], reply["event"], reply["correlation_id"]) == ("response", "echo", "e")
    assert reply["data"] == {"text": "hello"}


async def test_verb_of_a_new_row_names_the_field(client: Peer) -> None:
    """Its parser refuses data of the wrong kind."""
    client.request("echo", "e", text=5)
    refusal = await client.message()
    assert (refusal["error_code"], refusal["error_message"]) == ("INVALID_REQUEST", "text: expected a text")
    assert (refusal["event"], refusal["correlation_id"]) == ("echo", "e")


async def test_unknown_verb_is_told_of_new_rows(client: Peer) -> None:
    """A client that asks for no verb learns of the new ones too, and of the requests of the service behind them."""
    client.request("dance")
    sentence = (await client.message())["error_message"]
    assert (
        "there are subscribe, unsubscribe, auth, ping, services, presence, echo, slow, hear, get_workflow_status"
        in sentence
    )


async def test_verb_of_a_new_row_is_no_type_of_a_message(client: Peer) -> None:
    """Only the verbs of old clients may be a message's type."""
    client.send({"type": "echo", "data": {"text": "hello"}})
    assert (await client.message())["error_code"] == "DECODE_ERROR"


async def test_results_of_a_waiting_verb_are_written_in_order(client: Peer) -> None:
    """Answer, notice and refusal come as they were yielded, behind the verb that overtook and before the one behind."""
    for verb in ("slow", "echo", "hear"):
        client.request(verb, verb, text="hello")
    messages = [await client.message() for _ in range(5)]
    assert [it["event"] for it in messages] == ["hear", "slow", "slow.done", "slow", "echo"]
    assert messages[3]["error_code"] == "TIMEOUT"


async def test_permission_and_token_of_a_new_row(start_edge: StartEdge, open_client: OpenClient) -> None:
    """Before a token only a row that needs none is run; and the verb's own permission is asked."""
    edge: Edge = await start_edge(redis_url=NO_REDIS, auth_secret=SECRET, auth_required=True)
    client, stranger = await open_client(edge), await open_client(edge)
    stranger.request("hear", "h")
    assert (await stranger.message())["data"] == {}
    stranger.request("echo", "e", text="hello")
    assert (await stranger.message())["error_code"] == "AUTH_REQUIRED"
    client.request("auth", token=token("alice"))
    await client.message(), await client.message()
    client.request("echo", "e", text="HELLO")
    assert (await client.message())["error_code"] == "FORBIDDEN"
    client.request("echo", "e", text="hello")
    assert (await client.message())["data"] == {"text": "hello"}


@pytest.mark.parametrize("since", [{}, {"since": "-15m"}], ids=["newest", "since"])
async def test_answer_comes_before_an_event_of_the_next_moment(
    monkeypatch: pytest.MonkeyPatch, since: dict[str, str]
) -> None:
    """Of a room that had to be opened too, the answer is written in the moment of joining; events come behind."""
    async with Stage(SERVICE) as stage:
        hub, loop = stage.hub, asyncio.get_running_loop()
        join_now = hub.join_now

        def join(channel: Channel, member: Any) -> Any:
            room = join_now(channel, member)
            if room is not None:
                line = splice(b'{"type":"event","event":"e","data":{},' + end_of(channel.name), "9-9", room.position)
                loop.call_soon(hub.deliver, [(channel.redis.encode(), line)])
            return room

        monkeypatch.setattr(hub, "join_now", join)
        command = {"type": "subscribe", "data": {"channel": "workflow:x", **since}, "id": "s"}
        await stage.take(upgrade() + client_frame(TEXT, orjson.dumps(command)))
        await stage.settle(1)
        await stage.settle(0)
        assert [it["event"] for it in stage.messages()] == ["subscribe", "session.created", "e"]


def test_request_of_a_service_replaces_no_verb() -> None:
    """What every edge answers comes first, whatever a service calls its requests."""
    verbs = verbs_of(SERVICE, {"get_workflow_status": Ping})
    assert verbs["get_workflow_status"] is Ping


def test_every_verb_of_the_wire_has_a_row() -> None:
    """Wire and tables say the same verbs, in the words' order; flat clients have the old four."""
    assert [*VERBS][: len(Verb)] == [*Verb]
    assert FLAT_VERBS.keys() == set(Verb) - {Verb.SERVICES, Verb.PRESENCE, Verb.PUBLISH}
