import asyncio
from collections.abc import Coroutine
from typing import Any

from edges.session.inbox import Inbox, Item
from edges.session.verbs.ping import Ping


class Client:
    """Source of commands, and what carries them out: those called ``wait…`` wait for ``go_on``, others for ``known``.

    Texts are carried out likewise, by what they hold.
    """

    def __init__(self, limit: int = 2, limit_bytes: int = 1_000_000) -> None:
        self.inbox = Inbox(self, limit, limit_bytes, self.carry_out, self.spawn)
        self.done: list[str | None] = []
        self.reads = True
        self.tasks: list[asyncio.Task[None]] = []
        self.go_on, self.known = asyncio.Event(), asyncio.Event()

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        self.tasks.append(asyncio.create_task(work, name=name))
        return self.tasks[-1]

    def carry_out(self, item: Item) -> None:
        name = item.decode() if isinstance(item, bytes) else str(item.reply_to) if isinstance(item, Ping) else ""
        if name.startswith("wait"):
            self.inbox.run(self.wait(name, self.go_on), name)
        elif name in ("quick", "long"):
            self.inbox.run(self.wait(name, self.known), name, is_long=name == "long")
        elif name.startswith("token"):
            self.inbox.run_ahead(self.wait(name, self.known), name)
        else:
            self.done.append(name)

    async def wait(self, name: str, what: asyncio.Event) -> None:
        await what.wait()
        self.done.append(name)

    async def finish(self) -> None:
        self.go_on.set()
        self.known.set()
        for task in self.tasks:
            await task


async def test_what_need_not_wait_is_done_at_once() -> None:
    """A command that waits for nothing needs no task."""
    client = Client()
    assert [client.inbox.put(Ping(name)) for name in "ab"] == [None, None]
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
    assert [client.inbox.put(Ping(name)) for name in ("wait", "a", "b", "c")] == [
        None,
        None,
        "max_waiting_commands",
        None,
    ]
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


async def test_source_is_paused_while_too_many_bytes_wait() -> None:
    """Waiting texts are bounded by their bytes, too, and what is no text any more counts a little."""
    client = Client(limit=99, limit_bytes=1_000)
    client.inbox.put(b"wait")
    assert [client.inbox.put(it) for it in (b"a" * 700, Ping("b"), b"c" * 100)] == [
        None,
        None,
        "max_waiting_command_bytes",
    ]
    assert not client.reads
    await client.finish()
    assert client.done == ["wait", "a" * 700, "b", "c" * 100]
    assert client.reads


async def test_topic_counts_among_the_bytes() -> None:
    """What a command is about is the client's text as well, and may be long."""
    client = Client(limit=99, limit_bytes=2_000)
    client.inbox.put(b"wait")
    assert client.inbox.put(b"a", "x" * 1_000) is None
    assert client.inbox.overtake(b"b", "y" * 1_000) == "max_waiting_command_bytes"
    await client.finish()
    assert client.inbox._bytes == 0  # noqa: SLF001
    assert client.reads


async def test_source_goes_on_when_little_waits() -> None:
    """While what waits is carried out, reading goes on as soon as it is below both bounds."""
    client = Client(limit=99, limit_bytes=1_000)
    for text in (b"wait", b"a" * 900, b"wait again", b"b" * 200):
        client.inbox.put(text)
    assert not client.reads
    await client.finish()
    assert client.reads
    assert client.done[2] == "wait again"


async def test_ahead_overtakes_what_is_under_way_and_what_waits() -> None:
    """A ping is carried out at once, however much waits."""
    client = Client()
    for name in ("wait", "a"):
        client.inbox.put(Ping(name))
    client.inbox.put_ahead(Ping("ping"))
    assert client.done == ["ping"]
    await client.finish()
    assert client.done == ["ping", "wait", "a"]


async def test_ahead_keeps_its_order_and_holds_up_the_others() -> None:
    """What comes behind a token waits for it, be it in order or ahead; what was under way goes on beside it."""
    client = Client(limit=9)
    client.inbox.put(Ping("wait"))
    client.inbox.put(Ping("a"))
    client.inbox.put_ahead(Ping("token"))
    client.inbox.put_ahead(Ping("ping"))
    client.inbox.put_ahead(Ping("token 2"))
    assert client.inbox.is_busy_ahead
    client.go_on.set()
    await client.tasks[0]
    assert client.done == ["wait"]
    await client.finish()
    assert client.done == ["wait", "token", "ping", "token 2", "a"]
    assert not client.inbox.is_busy


async def test_overtaking_stays_behind_its_topic() -> None:
    """A command overtakes what takes long, and all but what is about the same: that order is what it means."""
    client = Client(limit=9)
    client.inbox.put(Ping("wait"), "y")
    client.inbox.put(Ping("a"))
    client.inbox.put(Ping("join x"), "x")
    client.inbox.put(Ping("b"))
    client.inbox.let_pass()
    client.inbox.overtake(Ping("leave x"), "x")
    client.inbox.overtake(Ping("leave y"), "y")
    client.inbox.overtake(Ping("ping"))
    assert client.done == ["leave y", "ping"]
    await client.finish()
    assert client.done == ["leave y", "ping", "wait", "a", "join x", "b", "leave x"]


async def test_overtaking_waits_until_something_takes_long() -> None:
    """Behind what is quick the order is kept, so that a pong tells that all before it was done; else it passes."""
    client = Client(limit=9)
    for name, topic in (("wait", "x"), ("a", None), ("join y", "y")):
        client.inbox.put(Ping(name), topic)
    client.inbox.overtake(Ping("leave x"), "x")
    client.inbox.overtake(Ping("leave y"), "y")
    client.inbox.overtake(Ping("ping"))
    assert client.done == []
    client.inbox.let_pass()
    assert client.done == ["leave x", "ping"]
    await client.finish()
    assert client.done == ["leave x", "ping", "wait", "a", "join y", "leave y"]


async def test_what_is_long_counts_for_itself_only() -> None:
    """The next command begins as a quick one, unless it says otherwise."""
    client = Client(limit=9)
    for name in ("wait", "quick"):
        client.inbox.put(Ping(name))
    client.inbox.let_pass()
    client.go_on.set()
    await client.tasks[0]
    client.inbox.overtake(Ping("ping"))
    assert client.done == ["wait"]
    await client.finish()
    assert client.done == ["wait", "quick", "ping"]


async def test_what_is_long_from_the_start_is_overtaken_at_once() -> None:
    """What waits to overtake passes when something long begins; that makes room for the source."""
    client = Client(limit=2)
    for name in ("wait", "long"):
        client.inbox.put(Ping(name))
    assert client.inbox.overtake(Ping("ping")) == "max_waiting_commands"
    assert not client.reads
    client.go_on.set()
    await client.tasks[0]
    assert client.done == ["wait", "ping"]
    assert client.reads
    await client.finish()
    assert client.done == ["wait", "ping", "long"]


async def test_cleared_is_ahead_too() -> None:
    """Who clears the inbox lets nothing wait, in neither lane."""
    client = Client()
    client.inbox.put_ahead(Ping("token"))
    client.inbox.put_ahead(Ping("ping"))
    client.inbox.put(b"a")
    client.inbox.clear()
    await client.finish()
    assert client.done == ["token"]
