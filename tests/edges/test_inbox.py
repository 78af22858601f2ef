import asyncio
from collections.abc import Coroutine
from typing import Any

from edges.inbox import Inbox
from edges.protocol import Command, Ping, Refusal


class Client:
    """Source of commands, and what carries them out: those called ``wait…`` wait for ``go_on``."""

    def __init__(self, limit: int = 2) -> None:
        self.inbox = Inbox(self, limit, self.carry_out, self.spawn)
        self.done: list[str | None] = []
        self.reads = True
        self.tasks: list[asyncio.Task[None]] = []
        self.go_on = asyncio.Event()

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        self.tasks.append(asyncio.create_task(work, name=name))
        return self.tasks[-1]

    def carry_out(self, command: Command | Refusal) -> None:
        name = str(command.reply_to) if isinstance(command, Ping) else ""
        if name.startswith("wait"):
            self.inbox.run(self.wait(name), name)
        else:
            self.done.append(name)

    async def wait(self, name: str) -> None:
        await self.go_on.wait()
        self.done.append(name)

    async def finish(self) -> None:
        self.go_on.set()
        for task in self.tasks:
            await task


async def test_what_need_not_wait_is_done_at_once() -> None:
    """A command that waits for nothing needs no task."""
    client = Client()
    assert [client.inbox.put(Ping(name)) for name in "ab"] == [False, False]
    assert (client.done, client.tasks, client.inbox.is_busy) == (["a", "b"], [], False)


async def test_commands_behind_one_that_waits_keep_their_order() -> None:
    """While one waits, so do those behind it; one put first comes before them."""
    client = Client(limit=9)
    for name in ("wait", "a", "wait again", "b"):
        client.inbox.put(Ping(name))
    client.inbox.put_first(Ping("first"))
    assert (client.done, len(client.inbox), client.inbox.is_busy) == ([], 4, True)
    await client.finish()
    assert client.done == ["wait", "first", "a", "wait again", "b"]
    assert (len(client.inbox), client.inbox.is_busy) == (0, False)


async def test_source_is_paused_while_the_limit_waits() -> None:
    """At the limit the source is paused, and that is told once; below it, it goes on."""
    client = Client(limit=2)
    assert [client.inbox.put(Ping(name)) for name in ("wait", "a", "b", "c")] == [False, False, True, False]
    assert not client.reads
    await client.finish()
    assert client.done == ["wait", "a", "b", "c"]
    assert client.reads


async def test_cleared_commands_are_not_done() -> None:
    """Who clears the inbox lets the command under way go on, and no other."""
    client = Client()
    for name in ("wait", "a"):
        client.inbox.put(Ping(name))
    client.inbox.clear()
    await client.finish()
    assert client.done == ["wait"]
