"""Faults where clients do more than watch: clients ask, publish, meet, and come back to a state."""

import asyncio
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

from edgebus.lab.stage.asker import Asker
from edgebus.lab.stage.service import PartGone, PartSet
from edgebus.lab.stage.site import Site
from producers import Producer

__all__ = ["client_publish_retry", "keyed_resume", "presence_edge_kill", "responder_kill"]

_ROOM: Final = "lab:one"
_CODES: Final = frozenset({"INTERNAL_ERROR", "NO_RESPONDER", "TIMEOUT", "UNAVAILABLE"})
_HEARD_S: Final = 5.0
"""Users and questions of a dead edge or responder are accounted for within so long (decisions/0104, 0109)."""


async def responder_kill(site: Site) -> None:
    """Kill one of two responders under load: a question has one answer or a code, and is carried out once at most."""
    redis = await site.redis()
    url, publisher = await site.edge(redis.url), await site.publisher(redis.url)
    await publisher.publish(_ROOM)
    logs = [site.directory() / "carried-out" for _ in range(2)]
    doomed, survivor = [await _responder(site, redis.url, log) for log in logs]
    count, at_once = site.size.of(60, 500), asyncio.Semaphore(8)
    killing: list[asyncio.Task[None]] = []
    async with Asker(url) as asker:

        async def ask(n: int) -> float:
            async with at_once:
                began_s = site.now_s
                if n == count // 2:
                    killing.append(asyncio.create_task(_kill_at_work(doomed, logs[0])))
                await asker.ask("work", str(n), n=n, takes_s=0.02)
                return site.now_s - began_s

        took_s = await asyncio.gather(*(ask(n) for n in range(count)))
        await asyncio.gather(*killing)
        site.heal()
        marker = await asker.ask("work", "marker", n=-1)  # behind all answers: a second one would have come before
        answers = dict(asker.answers)
    _judge_answers(site, logs, answers, max(took_s))
    site.require("the survivor answers on", marker["type"] == "response" and survivor.returncode is None)
    await site.conclude(redis)


def _judge_answers(site: Site, logs: list[Path], answers: dict[str, list[dict[str, Any]]], slowest_s: float) -> None:
    # By files and not by answers: work that was done twice may have been answered once.
    carried = [int(line) for log in logs for line in log.read_text().split()]
    data = [it["data"]["n"] for (it, *_) in answers.values() if it["type"] == "response"]
    codes = {it["error_code"] for (it, *_) in answers.values() if it["type"] == "error"}
    site.require(f"{len(logs[0].read_text().split())} questions were the dead one's", bool(logs[0].read_text()))
    site.require("a question died with it", bool(codes))
    site.promise("one answer to each question", all(len(it) == 1 for it in answers.values()))
    site.promise(
        "an answer is the question's",
        all(it[0]["data"].get("n", int(n)) == int(n) for n, it in answers.items() if n != "marker"),
    )
    site.promise("carried out at most once", len(carried) == len(set(carried)))
    site.promise("what was answered was carried out", set(data) <= set(carried))
    site.promise(f"refused by code: {sorted(codes)}", codes <= _CODES)
    site.promise("a death is heard of soon", slowest_s < _HEARD_S * site.size.patience)


async def _responder(site: Site, url: str, log: Path) -> asyncio.subprocess.Process:
    words = (sys.executable, "-m", "edgebus.lab.stage.answering", url, str(log))
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    site.at_end(partial(_kill, process), process.wait)
    line = await process.stdout.readline() if process.stdout is not None else b""
    site.require("a responder answers", line == b"answers\n", is_worth_telling=False)
    return process


async def _kill_at_work(process: asyncio.subprocess.Process, log: Path) -> None:
    """Kill a responder that has just begun a question."""
    # Not at any moment: answers come together, so between two batches a responder holds nothing that could be lost.
    size = os.path.getsize(log)  # noqa: ASYNC240 (a look at a local file takes microseconds)
    while os.path.getsize(log) == size:  # noqa: ASYNC110, ASYNC240 (another process writes)
        await asyncio.sleep(0.001)
    process.send_signal(signal.SIGKILL)


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


async def presence_edge_kill(site: Site) -> None:
    """Kill an edge with users in a meeting: its users are out within five seconds, told once, and no others."""
    redis = await site.redis()
    staying = await site.edge(redis.url)
    (doomed,) = await site.edge_processes(redis.url, 1)
    await (await site.publisher(redis.url)).publish(_ROOM)
    names = {
        url: [f"{word}{n}" for n in range(site.size.of(5, 100))] for word, url in (("a", doomed.url), ("b", staying))
    }
    users = {name: await site.start(Asker(url)) for url, some in names.items() for name in some}
    watcher = await site.start(Asker(staying))
    await watcher.ask("subscribe", "s", channel="meeting:m")
    for name, asker in users.items():
        await asker.ask("join", "j", room="m", user_id=name)
    site.require("all are in the meeting", await _are(site, watcher, sorted(users), 5.0))
    await doomed.kill()  # no farewell: the other edge has only the missing beats to go by
    site.heal()
    gone_s, stays = site.now_s, sorted(names[staying])
    site.promise("who was there is out soon", await _are(site, watcher, stays, _HEARD_S * site.size.patience))
    left = await site.until(lambda: len(_left(watcher)) >= len(names[doomed.url]), _HEARD_S * site.size.patience)
    site.promise("every user's leaving is told", left and site.now_s - gone_s < _HEARD_S * site.size.patience)
    site.promise("each is told once, and nobody who stayed", sorted(_left(watcher)) == sorted(names[doomed.url]))
    await site.conclude(redis)


async def _are(site: Site, watcher: Asker, names: list[str], within_s: float) -> bool:
    asked = 0

    async def are() -> bool:
        nonlocal asked
        asked += 1
        found = await watcher.ask("users", f"u{site.now_s}{asked}", room="m")
        return sorted(it["user_id"] for it in found["data"]["users"]) == names

    return await site.until_true(are, within_s)


def _left(watcher: Asker) -> list[str]:
    return [it["data"]["user_id"] for it in watcher.events if it["event"] == "meeting.left"]


async def client_publish_retry(site: Site) -> None:
    """Cut a client's connection behind each publish, and repeat the publish at another edge: each is stored once."""
    redis = await site.redis()
    first, second = [await site.edge(redis.url) for _ in range(2)]
    await (await site.publisher(redis.url)).publish(_ROOM)
    watcher, other = [await site.start(Asker(second)) for _ in range(2)]
    await watcher.ask("subscribe", "s", channel="lab:said")
    count = site.size.of(20, 300)
    for n in range(count):
        said = {"event": "client.said", "data": {"room": "said", "n": n}}
        async with Asker(first) as asker:
            asker.send("publish", "1", **said)  # every client numbers from 1
            site.require("it was stored", await site.until(partial(_has, watcher, n), 5.0), is_worth_telling=False)
        # The same id from a connection that the edge has never seen: only Redis can know the repetition.
        again = await other.ask("publish", "1", **said)
        other.answers.clear()
        site.promise("a repetition is answered as published", again["data"].get("status") == "published")
    site.heal()
    # Behind all others in the log: with the marker there, no second copy is still to come.
    await other.ask("publish", "2", event="client.said", data={"room": "said", "n": -1})
    site.require("the marker came", await site.until(lambda: _has(watcher, -1), 5.0), is_worth_telling=False)
    numbers = [it["data"]["n"] for it in watcher.events if it["event"] == "client.said"]
    site.promise("stored once, in order", numbers == [*range(count), -1])
    await site.conclude(redis)


def _has(watcher: Asker, n: int) -> bool:
    return any(it["event"] == "client.said" and it["data"]["n"] == n for it in watcher.events)


async def keyed_resume(site: Site) -> None:
    """Come back when the log is trimmed, while events flow: the state and then the tail, and nothing is missing."""
    redis = await site.redis()
    url = await site.edge(redis.url)
    await (await site.publisher(redis.url)).publish(_ROOM)
    producer = await site.start(Producer(redis.url))
    truth: dict[str, int] = {}
    rounds = site.size.of(3, 20)
    async with Asker(url) as asker:
        await _flow(producer, truth, 0, 10)
        position = (await asker.ask("subscribe", "s", channel="parts:r", state=True))["data"]["position"]
    for number in range(rounds):
        await _flow(producer, truth, 1 + number * 1_000, 300)
        # Events flow while the state is read: the seam between state and tail is where an event could be lost.
        flow = asyncio.create_task(_flow(producer, truth, 500 + number * 1_000, 100))
        async with Asker(url) as asker:
            answer = await asker.ask("subscribe", "s", channel="parts:r", state=True, since=position)
            await flow
            site.require(
                "the log was trimmed past the client", answer["data"]["recovered"] is False, is_worth_telling=False
            )
            last = max(truth.values())
            came = await site.until(partial(_came, asker, last), 10.0)
            site.require("the newest event came", came, is_worth_telling=False)
            events = [it for it in asker.events if it["event"] in ("part.set", "part.gone")]
            position = events[-1]["position"]
        site.promise("state and tail are the truth", _folded(events) == truth)
        site.promise("no event comes twice", len({it["position"] for it in events}) == len(events))
    site.heal()
    await site.conclude(redis)


def _came(asker: Asker, n: int) -> bool:
    return any(it["data"].get("n") == n for it in asker.events)


async def _flow(producer: Producer, truth: dict[str, int], first: int, count: int) -> None:
    for n in range(first, first + count):
        part = f"p{n * 7 % 300}"  # more than the log holds, so that the tail alone is not the truth
        if n % 9 == 0 and n != first + count - 1:
            await producer.publish(PartGone(room="r", part=part, n=n))
            truth.pop(part, None)
        else:
            await producer.publish(PartSet(room="r", part=part, n=n))
            truth[part] = n


def _folded(events: list[dict[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for it in events:
        found.pop(it["data"]["part"], None)
        if it["event"] == "part.set":
            found[it["data"]["part"]] = it["data"]["n"]
    return found
