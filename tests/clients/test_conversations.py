"""One set of conversations, held with the Python client and with the JavaScript client alike."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

from clients import (
    Client,
    Dismissed,
    Gap,
    Interrupted,
    Joined,
    Left,
    Present,
    Received,
    Recovered,
    Refused,
    State,
    Value,
    connect,
)
from clients.subscription import Subscription
from tests.clients.fake_edge import DEADLINE_S, FakeEdge, Talk, Waiting, fake_edge
from tests.journeys.processes import program

_HERE: Final = Path(__file__).parent
CONVERSATIONS: Final[list[dict[str, Any]]] = json.loads((_HERE / "conversations.json").read_text("utf-8"))
_OPTIONS: Final = ("since", "last", "state", "presence")
_KINDS: Final[dict[type, str]] = {
    Received: "event",
    Gap: "gap",
    Recovered: "recovered",
    Interrupted: "interrupted",
    State: "state",
    Joined: "joined",
    Left: "left",
    Present: "presence",
}
_RENAMED: Final = {"after": "from", "until": "to"}


class Driven(Protocol):
    """A client that a conversation is held with."""

    async def begin(self, url: str, conversation: Mapping[str, Any]) -> None: ...

    async def heard(self) -> dict[str, Any]:
        """Return the next of what the client handed over: ``yield`` with ``position``, or ``error`` with ``code``."""

    async def end(self) -> None: ...


class PythonClient:
    """The client of this package, with time that is over at once."""

    def __init__(self) -> None:
        self._opening: asyncio.Task[Client] | None = None
        self._subscription: Subscription | None = None
        self._client: Client | None = None

    async def begin(self, url: str, conversation: Mapping[str, Any]) -> None:
        tokens = iter(given := conversation.get("tokens", []))
        token = (lambda: next(tokens)) if len(given) > 1 else next(tokens, None)
        self._client = connect(url, token=token, settings=Waiting().settings(), retry_first=True)
        self._opening = asyncio.create_task(self._client.__aenter__())
        self._opening.add_done_callback(lambda task: self._opened(task, conversation))

    def _opened(self, task: "asyncio.Task[Client]", conversation: Mapping[str, Any]) -> None:
        options = {name: conversation[name] for name in _OPTIONS if name in conversation}
        self._subscription = task.result().subscribe(conversation["channel"], **options)

    async def heard(self) -> dict[str, Any]:
        assert self._opening is not None
        await self._opening
        assert self._subscription is not None
        try:
            value = await anext(self._subscription)
        except Refused as error:
            return {"error": "Refused", "code": error.code}
        except Dismissed as error:
            return {"error": type(error).__name__, "code": error.code}
        return {"yield": told(value), "position": self._subscription.position}

    async def end(self) -> None:
        assert self._opening is not None
        assert self._client is not None
        self._opening.cancel()
        with suppress(asyncio.CancelledError):
            await self._opening
        await self._client.close()


def told(value: Value) -> dict[str, Any]:
    """Return a value as the conversations write it."""
    parts = {it.name: getattr(value, it.name) for it in fields(value)}
    return {"type": _KINDS[type(value)], **{_RENAMED.get(name, name): it for name, it in parts.items()}}


class JavaScriptClient:
    """The client in Node, in one process for all conversations."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def begin(self, url: str, conversation: Mapping[str, Any]) -> None:
        options = {name: conversation[name] for name in _OPTIONS if name in conversation}
        more = {"tokens": conversation["tokens"]} if "tokens" in conversation else {}
        await self._say({"url": url, "channel": conversation["channel"], "options": options, **more})

    async def _say(self, command: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()

    async def heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the process of the client ended"
        return dict(json.loads(line))

    async def end(self) -> None:
        await self._say({"over": True})
        while "closed" not in await self.heard():
            pass


@asynccontextmanager
async def node() -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the client in Node."""
    argv = [
        program("node", "nodejs"),
        "--no-warnings",
        "--experimental-websocket",
        str(_HERE / "javascript" / "drive.mjs"),
    ]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, limit=2**22)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 (else the loop's end finds it open)


class Held:
    """One conversation under way."""

    def __init__(self, edge: FakeEdge, client: Driven) -> None:
        self._edge, self._client = edge, client
        self._talk: Talk | None = None
        self._asked: dict[str, Any] = {}
        self._position: str | None = None

    @property
    def talk(self) -> Talk:
        assert self._talk is not None
        return self._talk

    async def step(self, step: Mapping[str, Any]) -> None:
        """Take one step."""
        ((name, given), *_) = step.items()
        match name:
            case "accept":
                self._talk = await self._edge.accept()
            case "send":
                self._asked = await self.talk.asked(given["event"])
                assert self._asked["data"] == given["data"]
            case "say":
                is_answer = given.get("correlation_id") == "$id"
                await self._say(json.dumps({**given, "correlation_id": self._asked["id"]} if is_answer else given))
            case "raw":
                await self._say(given)
            case "quiet":
                await self.talk.settled()
            case "cut":
                await self.talk.cut()
            case "close":
                await self.talk.close(given, "a reason")
            case "position":
                assert self._position == given
            case _:
                await self._hear(step)

    async def _say(self, text: str) -> None:
        await self.talk.websocket.send(text)

    async def _hear(self, wanted: Mapping[str, Any]) -> None:
        heard = await self._client.heard()
        self._position = heard.get("position", self._position)
        if "yield" in wanted:
            assert "yield" in heard, heard
            assert {name: heard["yield"].get(name) for name in wanted["yield"]} == wanted["yield"]
        else:
            assert heard == wanted


async def hold(client: Driven, conversation: Mapping[str, Any]) -> None:
    """Hold a conversation to its end."""
    async with fake_edge() as edge, asyncio.timeout(3 * DEADLINE_S):
        await client.begin(edge.url, conversation)
        held = Held(edge, client)
        try:
            for number, step in enumerate(conversation["talk"]):
                try:
                    async with asyncio.timeout(DEADLINE_S):
                        await held.step(step)
                except (AssertionError, TimeoutError) as error:
                    raise AssertionError(f"step {number}: {step}: {error}") from error
        finally:
            await client.end()


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda it: it["name"])
async def test_python(conversation: dict[str, Any]) -> None:
    """The Python client sends, hands over and remembers what the conversation says."""
    await hold(PythonClient(), conversation)


async def test_javascript(subtests: pytest.Subtests) -> None:
    """So does the JavaScript client, in Node."""
    async with node() as process:
        client = JavaScriptClient(process)
        for conversation in CONVERSATIONS:
            with subtests.test(conversation["name"]):
                await hold(client, conversation)


async def test_a_conversation_that_goes_otherwise() -> None:
    """A client that does not do what a conversation says fails in it (the control of the two above)."""
    whole = next(it for it in CONVERSATIONS if it["name"] == "coming-back")
    for number, step in enumerate(whole["talk"]):
        if "yield" not in step or "id" not in step["yield"]:
            continue
        wrong = [*whole["talk"][:number], {"yield": {**step["yield"], "id": "e99"}}]
        with pytest.raises(AssertionError, match=f"step {number}"):
            await hold(PythonClient(), {**whole, "talk": wrong})
