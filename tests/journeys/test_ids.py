"""Ids with colons, spaces, umlauts and slashes, through whole processes: commands, edge, raw clients, ``redis-cli``."""

import asyncio
import json
from typing import Any, Final
from urllib.parse import quote

from bus.broker.embedded import EmbeddedBroker
from producers import Producer
from producers.services.dhruva import AdapterStored
from tests.journeys.clients import viewing
from tests.journeys.processes import EDGEBUS, Processes, edgebus, environment, program, publish

SPELLED: Final = {
    "llm:chat:openai": "llm:chat:openai",
    "my adapter": "my%20adapter",
    "Schlüssel": "Schl%C3%BCssel",
    "me@x.org": "me@x.org",
    "a/b": "a/b",
    "a%2Fb": "a%252Fb",
    "100%": "100%25",
    "сache": "%D1%81ache",  # noqa: RUF001 (a homoglyph)
    "cache": "cache",
}
"""Ids as dhara and people write them, and how the bus spells them."""
PLAIN: Final = [f"adapter:{adapter_id}" for adapter_id in SPELLED if "%" not in adapter_id]
ENCODED: Final = [f"adapter:{quote(adapter_id, safe='')}" for adapter_id in SPELLED]
NAMES: Final = [f"adapter:{spelled}" for spelled in SPELLED.values()]


def told(output: str) -> list[tuple[str, str]]:
    """Return room and id of each event among lines of JSON."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [(line["room"], line["data"]["adapter_id"]) for line in lines if line.get("room")]


async def seen(port: int, asked: list[str], go_on: asyncio.Event, ready: asyncio.Queue[str]) -> list[tuple[str, str]]:
    """Follow channels by these names as a raw client; return room and id of each event."""
    async with viewing(port) as viewer:
        for name in asked:
            reply = await viewer.subscribe(name)
            assert (reply["channel"], reply.get("room", name) in NAMES) == (name, True)
        ready.put_nowait("ready")
        await go_on.wait()
        events = [await viewer.event() for _ in asked]
    return [(event["room"], event["data"]["adapter_id"]) for event in events]


async def test_id_is_one_thing_for_commands_clients_and_redis(broker: EmbeddedBroker, processes: Processes) -> None:
    """By the plain name, by the encoded one and on Redis the same event comes, and the past is found by both."""
    [(_, port)] = processes.edges("dhruva", broker.url)
    cli = program("redis-cli", "redis-tools")
    typed = processes.start(cli, "-u", broker.url, "SUBSCRIBE", *NAMES)
    url = f"ws://127.0.0.1:{port}"
    listening = [
        processes.start(*EDGEBUS, "listen", *names, "--url", url, "--json", "--last", "9", env=environment())
        for names in (PLAIN, ENCODED)
    ]
    typed.until(lambda: typed.output.count("\nsubscribe") + typed.output.startswith("subscribe") == len(NAMES))
    go_on, ready = asyncio.Event(), asyncio.Queue[str]()
    async with asyncio.TaskGroup() as group:
        raw = [group.create_task(seen(port, names, go_on, ready)) for names in (PLAIN, ENCODED)]
        for _ in raw:
            await ready.get()
        async with Producer(broker.url) as producer:
            for adapter_id, spelled in SPELLED.items():
                published = await producer.publish(AdapterStored(adapter_id=adapter_id))
                assert f"adapter:{spelled}" in published.positions
        go_on.set()
    expected = {f"adapter:{spelled}": adapter_id for adapter_id, spelled in SPELLED.items()}
    plain = {name: adapter_id for name, adapter_id in expected.items() if "%" not in adapter_id}
    for found, wanted in zip(raw, (plain, expected), strict=True):
        assert found.result() == list(wanted.items())
    for running, wanted in zip(listening, (plain, expected), strict=True):
        running.until(lambda running=running, wanted=wanted: dict(told(running.output)) == wanted)  # type: ignore[misc]
    typed.until(lambda: dict(told(typed.output)) == expected)


def test_past_is_found_by_any_spelling(broker: EmbeddedBroker) -> None:
    """What one command published, others find, by the plain name and by the encoded one."""
    sent = publish(broker.url, "dhruva/adapter.stored", adapter_id="llm:my chat/ü")
    assert "adapter:llm:my%20chat/%C3%BC" in sent["positions"]
    for asked in ("adapter:llm:my chat/ü", "adapter:llm%3Amy%20chat%2F%c3%bc"):
        for command in (("history", asked, "--json"), ("replay", asked, "--since", "-1h")):
            ran = edgebus(*command, "--redis", broker.url)
            assert told(ran.stdout) == [("adapter:llm:my%20chat/%C3%BC", "llm:my chat/ü")], ran.stderr


def test_commands_show_the_right_spelling(broker: EmbeddedBroker) -> None:
    """A name that cannot be one ends a command with the name to type, and nothing is asked of Redis or an edge."""
    for command in ("history", "listen", "replay"):
        more = ("--since", "-1h") if command == "replay" else ()
        redis = () if command == "listen" else ("--redis", broker.url)
        ran = edgebus(command, "adapter:100%", *more, *redis)
        assert ran.returncode == 2, ran.stderr
        assert "adapter:100%25" in ran.stderr
