"""docs/http.md: its lines for curl, as they stand, and the names of its table."""

import asyncio
import json
import re
import shlex
from typing import Any

from bus.broker.embedded import EmbeddedBroker
from bus.words import NoticeName
from edges import Edge, EdgeSettings
from producers import Producer
from producers.services.mahavishnu import SERVICE, WorkflowStarted
from tests.docs.pages import ROOT, blocks
from tests.edges.streams import parsed

PAGE = (ROOT / "docs" / "http.md").read_text("utf-8")
CURLS = [it.text.strip().removeprefix("$ ") for it in blocks("docs/http.md") if it.language == "sh"]
FIRST, RESUMING, LINES, PAST = CURLS


async def printed(edge: Edge, line: str, wanted: int, **variables: str) -> list[str]:
    """Run a line of the page; return what it prints, up to ``wanted`` events of channels or its end."""
    for name, value in variables.items():
        line = line.replace(f"${name}", value)
    words = shlex.split(line.replace("127.0.0.1:8690", f"127.0.0.1:{edge.port}"))
    ran = await asyncio.create_subprocess_exec(*words, "--silent", stdout=asyncio.subprocess.PIPE)
    assert ran.stdout is not None
    found: list[str] = []
    async with asyncio.timeout(20):
        while sum('"workflow.started"' in it for it in found) < wanted and (read := await ran.stdout.readline()):
            found.append(read.decode().rstrip("\n"))
    if ran.returncode is None:
        ran.kill()
    await ran.wait()
    return found


def events(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(it.removeprefix("data: ")) for it in lines if '"workflow.started"' in it]


async def test_lines_for_curl(broker: EmbeddedBroker) -> None:
    """Each line gives what the page says: a stream, the rest of it behind an id, JSON lines, the past."""
    async with Producer(broker.url) as producer, Edge(SERVICE, EdgeSettings(port=0, redis_url=broker.url)) as edge:
        await edge.ready()
        published = [await producer.publish(WorkflowStarted(workflow_id="42", n=number)) for number in (1, 2)]
        await gives_what_the_page_says(edge, [str(it.positions["workflow:42"]) for it in published])


async def gives_what_the_page_says(edge: Edge, positions: list[str]) -> None:
    stream = await printed(edge, FIRST, 2)
    assert [it["position"] for it in events(stream)] == positions
    assert stream[0].startswith("retry: ")
    assert parsed("\n".join(stream[-2:]))[1] == positions[1]
    assert [it["position"] for it in events(await printed(edge, RESUMING, 1, POSITION=positions[0]))] == positions[1:]
    assert [it["position"] for it in events(await printed(edge, LINES, 1))] == positions[1:]
    past = json.loads("".join(await printed(edge, PAST, 1)))
    assert ([it["position"] for it in past["events"]], past["position"]) == (positions, positions[1])


def test_every_name_of_the_table_is_said() -> None:
    """The page names every notice of an edge, as a page hears it, and none that there is not."""
    named = set(re.findall(r"^\| `([a-z.]+)` \|", PAGE, re.M)) - {"channel", "since", "last", "token"}
    own = {"subscribed", "recovered", "gap", "interrupted", "state", "refused", "closed"}
    unheard = {NoticeName.ROOM_JOINED, NoticeName.ROOM_PRESENCE}  # of whom a stream cannot ask to be told
    said_otherwise = {NoticeName.ROOM_GAP, NoticeName.ROOM_STATE, NoticeName.BUS_DEGRADED, NoticeName.BUS_RESTORED}
    assert named == own | ({*NoticeName} - unheard - said_otherwise)
