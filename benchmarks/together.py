"""Four draw in one diagram over three replicas, one of them by curl, while a replica is killed: who is shown when.

``python -m benchmarks.together [--seconds 10]``
"""

import argparse
import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from bus.broker.embedded import EmbeddedBroker
from edgebus.lab.stage.asker import Asker, Gone

__all__ = ["Shown", "show"]

_CURSORS_PER_S: Final = 30
_ELEMENTS_PER_S: Final = 5
_UP_S: Final = 30.0
_NOTICED_S: Final = 20.0


@dataclass(slots=True)
class Shown:
    """What was seen.

    Attributes:
        published: elements that an edge acknowledged, by clients and by curl; ``by_curl`` of these.
        lost: acknowledged elements that a client lacks and was not told of.
        doubled: elements that a client was given twice, or that the log has twice.
        cursors: cursor events that clients were given.
        gone_after_s: from the kill until the user who did not come back was told as gone.
        back_after_s: from the kill until the user who came back was in the list at another replica.
        left: users told as gone.
        present: the users in the list at the end.

    """

    published: int = 0
    by_curl: int = 0
    lost: int = 0
    doubled: int = 0
    cursors: int = 0
    gone_after_s: float = 0.0
    back_after_s: float = 0.0
    left: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)


async def show(seconds: float) -> Shown:
    """Draw for so long, and kill the first replica after a third of the time."""
    async with (
        EmbeddedBroker(0) as broker,
        _edge(broker.url) as one,
        _edge(broker.url) as two,
        _edge(broker.url) as three,
    ):
        ports = [one[1], two[1], three[1]]
        painters = [_Painter(name, ports, index) for index, name in enumerate(("ann", "ben", "cleo"))]
        dora = Asker(f"ws://127.0.0.1:{ports[0]}/")
        async with dora:
            await dora.ask("join_collaboration", "j", diagram_id="d", user_id="dora")
            curl = _Curl(ports[2])
            works = [asyncio.create_task(it.draw(seconds)) for it in painters]
            works.append(asyncio.create_task(curl.draw(seconds)))
            await asyncio.sleep(seconds / 3)
            loop = asyncio.get_running_loop()
            one[0].kill()
            killed_s = loop.time()
            shown = Shown()
            watcher = painters[1]
            shown.back_after_s, shown.gone_after_s = await asyncio.gather(
                watcher.until_listed("ann", painters[0].is_back, killed_s), watcher.until_left("dora", killed_s)
            )
            await asyncio.gather(*works)
        return await _judged(shown, painters, curl)


async def _judged(shown: Shown, painters: "list[_Painter]", curl: "_Curl") -> Shown:
    owed = curl.acknowledged.union(*(it.acknowledged for it in painters))
    for it in painters:
        await it.until_has(owed)
        got = [event["data"]["element"]["id"] for event in it.elements.values()]
        shown.lost += len(owed - set(got))
        shown.doubled += len(got) - len(set(got))
        shown.cursors += it.cursors
    shown.published, shown.by_curl = len(owed), len(curl.acknowledged)
    shown.left = sorted({user for it in painters for user in it.left})
    shown.present = await painters[1].listed()
    for it in painters:
        it.asker.abort()
    return shown


class _Painter:
    """A raw client that draws, and comes back by itself."""

    def __init__(self, name: str, ports: list[int], first: int) -> None:
        self.name, self._ports, self._at = name, ports, first
        self.asker = Asker("")
        self.acknowledged: set[str] = set()
        self.elements: dict[str, dict[str, Any]] = {}
        self.left: list[str] = []
        self.cursors = 0
        self.is_back = asyncio.Event()
        self._unanswered: dict[str, str] = {}
        self._asked = self._comings = 0
        self._taken = 0
        self._position: str | None = None

    async def draw(self, seconds: float) -> None:
        """Draw for so long; then wait for every answer."""
        loop = asyncio.get_running_loop()
        await self._come()
        ends_s, n = loop.time() + seconds, 0
        while loop.time() < ends_s or self._unanswered:
            try:
                if loop.time() < ends_s:
                    self.asker.send("broadcast_cursor", f"c{n}", diagram_id="d", user_id=self.name, position={"x": n})
                    if n % (_CURSORS_PER_S // _ELEMENTS_PER_S) == 0:
                        self._publish(f"{self.name}-{n}", f"p{n}")
                n += 1
            except Gone:
                await self._come()
            self._take()
            if self.asker.is_gone:
                await self._come()
            await asyncio.sleep(1 / _CURSORS_PER_S)

    def _publish(self, element: str, request_id: str) -> None:
        self._unanswered[request_id] = element
        data = {"diagram_id": "d", "element": {"id": element}, "user_id": self.name}
        self.asker.send("publish", request_id, event="element.added", data=data)

    async def _come(self) -> None:
        """Connect to the next edge that answers, resume, join, and repeat what has no answer."""
        self._take()
        while True:
            self.asker, self._taken = Asker(f"ws://127.0.0.1:{self._ports[self._at % len(self._ports)]}/"), 0
            try:
                await self.asker.__aenter__()
                since = {} if self._position is None else {"since": self._position}
                answer = await self.asker.ask("subscribe", "s", channel="diagram:d", **since)
                self._position = self._position or answer["data"]["position"]
                for channel in ("cursor:d", "collaboration:d"):
                    await self.asker.ask("subscribe", channel, channel=channel)
                await self.asker.ask("join_collaboration", "j", diagram_id="d", user_id=self.name)
                for request_id, element in list(self._unanswered.items()):
                    self._publish(element, request_id)
            except (OSError, Gone):
                self._at += 1
                await asyncio.sleep(0.05)
            else:
                self._comings += 1
                if self._comings > 1:
                    self.is_back.set()
                return

    def _take(self) -> None:
        """Take what came since the last look."""
        events, self._taken = self.asker.events[self._taken :], len(self.asker.events)
        for event in events:
            match event["event"]:
                case "element.added":
                    self.elements[event["position"]] = event
                    self._position = event["position"]
                case "cursor.moved":
                    self.cursors += 1
                case "user.left":
                    self.left.append(event["data"]["user_id"])
        for request_id in [it for it in self._unanswered if it in self.asker.answers]:
            if self.asker.answers[request_id][0]["type"] == "response":
                self.acknowledged.add(self._unanswered.pop(request_id))

    async def listed(self) -> list[str]:
        """Return the users in the list."""
        self._asked += 1
        answer = await self.asker.ask("get_active_users", f"u{self._asked}", diagram_id="d")
        return [it["user_id"] for it in answer["data"]["users"]]

    async def until_listed(self, name: str, after: asyncio.Event, since_s: float) -> float:
        """Return the time until a user is in the list again, from an instant."""
        await asyncio.wait_for(after.wait(), _NOTICED_S)
        async with asyncio.timeout(_NOTICED_S):
            while name not in await self.listed():  # noqa: ASYNC110 (another replica tells of no change to this one)
                await asyncio.sleep(0.05)
        return asyncio.get_running_loop().time() - since_s

    async def until_left(self, name: str, since_s: float) -> float:
        """Return the time until a user was told as gone."""
        async with asyncio.timeout(_NOTICED_S):
            while name not in self.left:
                self._take()
                await asyncio.sleep(0.02)
        return asyncio.get_running_loop().time() - since_s

    async def until_has(self, names: set[str]) -> None:
        """Wait until all elements came; what does not come is counted by the judge."""
        deadline_s = asyncio.get_running_loop().time() + _NOTICED_S
        while asyncio.get_running_loop().time() < deadline_s:
            self._take()
            if names <= {it["data"]["element"]["id"] for it in self.elements.values()}:
                return
            await asyncio.sleep(0.05)


class _Curl:
    """Somebody with curl."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/publish"
        self.acknowledged: set[str] = set()

    async def draw(self, seconds: float) -> None:
        """Post elements for so long, one after another."""
        loop = asyncio.get_running_loop()
        ends_s, n = loop.time() + seconds, 0
        while loop.time() < ends_s:
            data = {"diagram_id": "d", "element": {"id": f"curl-{n}"}, "user_id": "curl"}
            body = json.dumps({"event": "element.added", "data": data, "id": f"k{n}"})
            words = ("curl", "-s", "-H", "Content-Type: application/json", "-d", body, self._url)
            process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
            answer, _ = await process.communicate()
            if b'"published"' in answer:
                self.acknowledged.add(f"curl-{n}")
            n += 1
            await asyncio.sleep(1 / _ELEMENTS_PER_S)


@asynccontextmanager
async def _edge(redis_url: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    words = ("-m", "edgebus", "edge", "excalidraw", "--port", str(port), "--redis", redis_url, "--log-level", "error")
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(_UP_S):
            await _until_up(port)
        yield process, port
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _until_up(port: int) -> None:
    while True:
        try:
            async with Asker(f"ws://127.0.0.1:{port}/") as asker:
                if (await asker.ask("get_diagram_status", "1", diagram_id="d"))["type"] == "response":
                    return
        except (OSError, Gone):
            pass
        await asyncio.sleep(0.1)


def main() -> None:
    """Print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    print(asyncio.run(show(parser.parse_args().seconds)))


if __name__ == "__main__":
    main()
