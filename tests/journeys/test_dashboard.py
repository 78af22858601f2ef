"""The page in a real browser: what it says in each state, and that an event is text whatever it holds."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from websockets.asyncio.client import connect as websocket

from bus.broker.embedded import EmbeddedBroker
from bus.channel import Family
from bus.event import Event
from bus.redis.keys import EDGES_KEY, edge_key
from bus.service import Service
from clients import Dismissed, connect
from edgebus.dashboard.dashboard import Dashboard
from edges import Edge, EdgeSettings
from producers import Producer
from producers.services import NAMES, load
from producers.services.mahavishnu import WorkflowFailed, WorkflowStarted
from tests.edges.signing import HIDDEN, token
from tests.journeys.chromium import Page, page
from tests.journeys.processes import DEADLINE_S, Processes, Running, wait_ready
from tests.ports import free_port

EVIL = '<img src=x onerror="document.title=1"><script>document.title=2</script>\u202egnp.exe\u0007'
"""A script, a turn of direction, and a bell."""


FOCUSED = "document.activeElement.className"
READ_OUT = (
    "[...document.querySelectorAll('[role=status], [role=alert], [aria-live]:not([aria-live=off])')].map((it) => it.id)"
)
COUNT = "document.querySelectorAll({!r}).length"


async def check_axe(page: Page, *schemes: str) -> None:
    """Look for violations of WCAG."""
    for scheme in schemes:
        await page("scheme", scheme=scheme)
        assert await page("axe") == []


async def publish(page: Page, producer: Producer, event: Event) -> None:
    """Publish until the page shows one row more: it may have begun to listen a moment ago."""
    before = await page("evaluate", expression=COUNT.format(".row"))
    async with asyncio.timeout(DEADLINE_S):
        while await page("evaluate", expression=COUNT.format(".row")) <= before:
            await producer.publish(event)


async def press(page: Page, *keys: str) -> None:
    """Press keys, one after the other."""
    for key in keys:
        await page("press", key=key)


async def check_quiet(page: Page) -> None:
    """Look for what moves and what is read out: nothing where people want no motion, and one sentence."""
    moves = "getComputedStyle(document.querySelector('.rows li')).animationName"
    assert await page("evaluate", expression=moves) == "none"
    await page("motion", motion="no-preference")
    assert await page("evaluate", expression=moves) == "come"
    await page("motion", motion="reduce")
    assert await page("evaluate", expression=READ_OUT) == ["status", "said"]


async def check_text(page: Page) -> None:
    """Look at an event whose data is a script, in its row and whole."""
    await page("has", selector=".row", text="workflow.failed")
    await press(page, *["Tab"] * 10)  # links, pause, filters
    assert await page("evaluate", expression=FOCUSED) == "row"
    await press(page, "Enter")
    await page("has", selector="dialog .leaf", text="<script>document.title=2</script>⟨U+202E⟩gnp.exe")
    assert await page("evaluate", expression=COUNT.format("main img, main script, dialog img, dialog script")) == 0
    assert await page("evaluate", expression="document.title") == "Flow · edgebus"
    await check_axe(page, "dark", "light")
    await press(page, "Escape")
    assert await page("evaluate", expression=FOCUSED) == "row"


async def check_channels(page: Page) -> None:
    """Find a channel, and what a request answers about it, with its past."""
    await page("click", selector="nav a[data-view=channels]")
    await page("fill", selector="input[type=search]", text="wf_")
    await page("has", selector="a.channel-row", text="wf_1")
    await press(page, *["Tab"] * 7, "Enter")  # order, list, and the heads
    await page("has", selector="[aria-pressed=true]", text="last event")
    await page("has", selector="a.channel-row", text="wf_1")
    await press(page, "Tab", "Enter")
    await page("has", selector="h1", text="workflow:wf_1")
    assert await page("evaluate", expression="document.activeElement.textContent") == "← all channels"
    await page("has", selector=".card", text="get_workflow_status")
    await page("has", selector=".card .badge", text="failed")
    await page("has", selector=".row.past", text="workflow.failed")
    await check_axe(page, "light")
    await page("click", selector="nav a[data-view=flow]")


async def check_pause(page: Page, producer: Producer, dashboard: Dashboard) -> None:
    """Pause, have more come than the page holds, and read how many of them are where; then go on."""
    came = 400
    await page("fill", selector="label:has-text('Channel') input", text="burst")
    viewers = dashboard._watch.flow.viewers  # noqa: SLF001 (the page does not say when its filter has arrived)
    async with asyncio.timeout(DEADLINE_S):
        while not any(it.filter.channel == "burst" for it in viewers.values()):
            await asyncio.sleep(0.005)
    await page("click", selector="button[aria-pressed=false]")
    await asyncio.gather(*(producer.publish(WorkflowStarted(workflow_id="burst")) for _ in range(came)))
    await page("has", selector=".note", text=f"paused: {came} came meanwhile")
    await page("has", selector=".gone", text="history")
    said = await page("text", selector=".gone strong")
    assert await page("evaluate", expression=COUNT.format(".row")) == 0
    await page("click", selector="button[aria-pressed=true]")
    await page("has", selector=".row", text="workflow:burst")
    shown = await page("evaluate", expression=COUNT.format(".row"))
    assert (shown <= 300, said) == (True, f"{came - shown} of the pause are not on this page.")
    await page("fill", selector="label:has-text('Channel') input", text="")


async def check_confirmation(page: Page) -> None:
    """Escape is No, and Enter on the verb is Yes; the focus is on the button again both times."""
    focused = "document.activeElement.getAttribute('aria-label').split(' ')[0]"
    await page("click", selector="nav a[data-view=edges]")
    await page("click", selector="button[aria-label^=undrain]")
    await page("has", selector="dialog[open]", text="undrain this edge?")
    await press(page, "Escape")
    await page("gone", selector="dialog[open]")
    assert await page("evaluate", expression=focused) == "undrain"
    await press(page, "Enter")
    await page("has", selector="dialog[open]", text="undrain this edge?")
    await press(page, "Shift+Tab", "Enter")
    await page("has", selector="#said", text="no operator drains this edge")
    assert await page("evaluate", expression=focused) == "undrain"


async def check_form(page: Page) -> None:
    """Publish by the form: faults stand at their fields, those that the page finds and those of the model."""
    await page("click", selector="#publish-link")
    await page("has", selector=".field", text="workflow_id")
    await page("click", selector="button.main")
    await page("has", selector=".field:has(#field-workflow_id) .fault", text="is wanted")
    await page("select", selector=".bar select", value="akosha")
    for name, text in {"pattern_id": "p", "pattern_type": "rising", "description": "d", "confidence": "7"}.items():
        await page("fill", selector=f"#field-{name}", text=text)
    await page("click", selector="button.main")
    await page("has", selector=".field:has(#field-confidence) .fault", text="less than or equal to 1")
    await check_axe(page, "dark")
    await page("fill", selector="#field-confidence", text="0.7")
    await page("click", selector="button.main")
    await page("has", selector="main [role=status]", text="Published pattern.detected")


async def lose_edge(page: Page, edge: Running, redis_url: str) -> None:
    """Kill an edge, and have its entry run out at once: by itself the entry does so ten seconds later."""
    edge.kill()
    with Redis.from_url(redis_url) as redis:
        for entry, expires_ms in redis.zscan_iter(EDGES_KEY, "mahavishnu*"):
            redis.delete(edge_key(entry.decode()))
            redis.zadd(EDGES_KEY, {entry: expires_ms - 11_000})
    await page.status("is gone")


async def test_page_tells_what_goes_on(processes: Processes, tmp_path: Path) -> None:
    """The page has nothing, an event, an edge less, no Redis, Redis again, and at last no server."""
    port, started = free_port(), WorkflowStarted(workflow_id="wf_2")
    with ExitStack() as life:
        broker = life.enter_context(EmbeddedBroker(port, tmp_path / "data"))
        edge, edge_port = processes.edges("mahavishnu", broker.url)[0]
        settings = EdgeSettings(
            port=free_port(), redis_url=broker.url, close_timeout_s=0.2, auth_secret=HIDDEN, auth_required=True
        )
        async with page() as seen, Producer(broker.url) as producer:
            async with Dashboard(settings, [load(name) for name in NAMES]) as dashboard:
                await asyncio.to_thread(wait_ready, edge, edge_port)
                await seen("goto", url=f"{dashboard.url}/#token={token(permissions=['dashboard:admin'])}")
                await seen.status("All is well: 1 edge(s) ready")
                await seen("has", selector=".empty", text="edgebus publish workflow.started")
                await check_axe(seen, "light", "dark")
                await press(seen, "Tab", "Tab", "Tab", "Enter")  # past the way to the content, and the overview
                await publish(seen, producer, WorkflowFailed(workflow_id="wf_1", error=EVIL))
                await check_quiet(seen)
                await check_text(seen)
                await check_channels(seen)
                await check_pause(seen, producer, dashboard)
                await check_confirmation(seen)
                await check_form(seen)
                await lose_edge(seen, edge, broker.url)
                await asyncio.to_thread(life.close)
                await seen.status("Redis is away")
                with EmbeddedBroker(port, tmp_path / "data"):
                    await seen.status("is gone")
                    await seen("click", selector="nav a[data-view=flow]")
                    await publish(seen, producer, started)
                    assert await seen("faults") == []
            await seen.status("The dashboard is away; the next attempt is in")


STATION = Family("station:{station_id}")


class Measured(Event, event="station.measured", channels=(STATION,)):
    """A station read its instruments."""

    station_id: str


WEATHER = Service("weather", 0, "Connected to the weather", (STATION,), (Measured,))


async def ask(url: str, verb: str, **data: Any) -> dict[str, Any]:
    """Ask as an admin's page does; return the data of the answer."""
    shown = token(permissions=["dashboard:admin"])
    async with websocket(url.replace("http", "ws"), additional_headers={"Authorization": f"Bearer {shown}"}) as page:
        await page.send(json.dumps({"type": "request", "event": f"dashboard.{verb}", "data": data, "id": "q"}))
        while (answer := json.loads(await page.recv()))["correlation_id"] != "q":
            pass
    assert answer["error_code"] is None, answer
    found: dict[str, Any] = answer["data"]
    return found


async def to_the_end(values: AsyncIterator[object]) -> None:
    """Take all values that there are."""
    async for _ in values:
        pass


async def test_service_without_code_is_seen_and_told() -> None:
    """A service whose code is not at hand is named by its edge; its clients are kicked, and the edge drained."""
    with EmbeddedBroker(0) as broker:
        settings = EdgeSettings(port=0, redis_url=broker.url, close_timeout_s=0.2, auth_secret=HIDDEN)
        edge = Edge(WEATHER, EdgeSettings(port=0, redis_url=broker.url, close_timeout_s=0.2, drain_notice_s=0.1))
        async with edge, Dashboard(settings, []) as dashboard, Producer(broker.url) as producer:
            await edge.ready()
            async with connect(f"ws://127.0.0.1:{edge.port}") as client, asyncio.timeout(DEADLINE_S):
                seen = aiter(client.subscribe("station:north"))
                await ask(dashboard.url, "flow")
                service = ""
                while service != "weather":
                    await producer.publish(Measured(station_id="north"))
                    rows = (await ask(dashboard.url, "channels", search="station:"))["rows"]
                    service = rows[0]["service"] if rows else ""
                about = await ask(dashboard.url, "channel", channel="station:north")
                assert about["room"]["members"] == 1
                past = (await ask(dashboard.url, "history", channel="station:north"))["rows"]
                assert {it["event"] for it in past} == {"station.measured"}
                (row,) = (await ask(dashboard.url, "clients"))["rows"]
                assert (await ask(dashboard.url, "kick", client=row["id"]))["count"] == 1
                with pytest.raises(Dismissed):
                    await to_the_end(seen)
                assert (await ask(dashboard.url, "drain", edge=edge.id))["state"] == "draining"


FRAMES = """new Promise((done) => {
  const [times, until] = [[], performance.now() + %d];
  const spans = () => times.slice(1).map((it, n) => it - times[n]);
  const step = (at) => (times.push(at), at < until ? requestAnimationFrame(step) : done(spans()));
  requestAnimationFrame(step);
})"""


async def flood(producer: Producer, rate: int, seconds: float) -> None:
    """Publish so many events a second, half of them on channels of their own, which are 10,000 at most."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number in range(int(rate * seconds / 10)):
        names = (f"flood_{(number * 5 + it) % 10_000}" for it in range(5))
        await asyncio.gather(*(producer.publish(WorkflowStarted(workflow_id=it)) for it in names))
        await asyncio.sleep(began + (number + 1) * 10 / rate - loop.time())


async def heap_of(page: Page) -> tuple[float, float]:
    """Return the page's heap after a collection, bytes, and the number of its nodes."""
    await page("collect")
    found = {it["name"]: it["value"] for it in await page("metrics")}
    return found["JSHeapUsedSize"], found["Nodes"]


async def frames_of(page: Page, ms: int) -> list[float]:
    """Return the times between frames, in order of length."""
    return sorted(await page("evaluate", expression=FRAMES % ms))


@pytest.mark.parametrize("seconds", [2, pytest.param(600, marks=[pytest.mark.nightly, pytest.mark.timeout(900)])])
async def test_page_stands_500_events_a_second(tmp_path: Path, seconds: int, figure: Callable[[str], None]) -> None:
    """Rows, nodes and heap stay bounded under a flood with 10,000 channels; the share that is shown is said."""
    with EmbeddedBroker(0, tmp_path / "data") as broker:
        settings = EdgeSettings(port=free_port(), redis_url=broker.url, close_timeout_s=0.2)
        services = [load(name) for name in NAMES]
        async with page() as seen, Producer(broker.url) as producer, Dashboard(settings, services) as dashboard:
            await seen("goto", url=f"{dashboard.url}/#flow")
            await publish(seen, producer, WorkflowStarted(workflow_id="first"))
            flooding = asyncio.create_task(flood(producer, 500, seconds))
            await seen("has", selector=".note strong", text="1 of")
            if seconds > 60:
                await asyncio.sleep(60)
            before, early = await heap_of(seen), await frames_of(seen, 500)
            await flooding
            late, after = await frames_of(seen, 500), await heap_of(seen)
            assert await seen("evaluate", expression=COUNT.format(".row")) <= 300
            assert after[0] < 1.5 * before[0] + 2_000_000
            assert after[1] < 1.5 * before[1] + 5_000
            assert await seen("faults") == []
    heaps = " and ".join(f"{it[0] / 1e6:.1f}" for it in (before, after))
    slow = " and ".join(f"{it[len(it) // 2]:.0f}/{it[len(it) * 99 // 100]:.0f}" for it in (early, late))
    figure(f"500 events/s: {heaps} MB of heap, frames p50/p99 of {slow} ms, at the beginning and after {seconds} s")
