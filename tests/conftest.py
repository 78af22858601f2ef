"""What every test stands under: nothing stays behind in its event loop, and where no skip is allowed, a skip fails.

Beside that the figures that tests measured, and what was searched for tokens, over all workers of pytest-xdist.
"""

import asyncio
import gc
import logging
import os
import signal
import traceback
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from functools import partial
from typing import Any, Final, TypeVar, cast

import pytest
from pytest_asyncio import is_async_test

from bus.broker.embedded import EmbeddedBroker
from producers import Producer
from tests.leaks import SEARCH, SEARCHED, Search
from tests.virtual_time import VirtualTimeLoop

_IS_STRICT: Final = os.environ.get("EDGEBUS_TESTS_STRICT") == "1"
"""Read here, before ``no_environment`` takes it away."""

_LONG: Final = ("tests/conformance/", "tests/edgebus/", "tests/journeys/", "tests/lab/")
"""Folders of tests that start edges, services and balancers as processes."""

FIGURE: Final = "figure"
"""The property of a test's report that holds a figure."""

ReportT = TypeVar("ReportT", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look at every report of a test, after the plugins had their say (xfail is one of them)."""
    report = yield
    return _refuse_skip(report)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Look at every report of a collector: a whole module can be skipped too."""
    report = yield
    return _refuse_skip(report)


def _refuse_skip(report: ReportT) -> ReportT:
    """Make a failure of a skip where EDGEBUS_TESTS_STRICT=1 says that this machine has all that tests want."""
    if _IS_STRICT and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason}: and EDGEBUS_TESTS_STRICT=1 lets nothing be skipped"
    return report


def pytest_configure(config: pytest.Config) -> None:
    """Have everything that is logged searched; and heed SIGINT, so that what tests start is not born deaf to it.

    A script's ``make test &`` has it ignored, and each child inherits that: ``redis-cli`` could not be ended by it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Else pydantic reads the entry points of every package in .venv, in each process that a test starts.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    search = config.stash[SEARCH] = Search()
    logging.getLogger().addHandler(search)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what this worker searched to the process that started it."""
    search = session.config.stash[SEARCH]
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["searched"] = (search.records, search.processes, search.found)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what a worker searched; one that crashed has nothing to say."""
    search = node.config.stash[SEARCH]
    records, processes, found = getattr(node, "workeroutput", {}).get("searched", (0, 0, []))
    search.records, search.processes = search.records + records, search.processes + processes
    search.found += found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what tests measured, and what was searched for tokens."""
    reports = [it for some in terminalreporter.stats.values() for it in some if isinstance(it, pytest.TestReport)]
    properties = [one for it in reports if it.when == "call" for one in it.user_properties]
    if figures := [str(text) for name, text in properties if name == FIGURE]:
        terminalreporter.section("figures")
        for text in figures:
            terminalreporter.line(text)
    search = config.stash[SEARCH]
    searched = f"{search.records} log records and the output of {search.processes} processes, at debug level"
    terminalreporter.line(f"tokens in {searched}: {len(search.found)}")


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return a function that has a measured figure printed at the end of the run, by whichever worker."""
    return partial(record_property, FIGURE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread files that start whole processes among the others: side by side they would wait for each other's work.

    The laboratory's scenarios come first, for they take longest: a worker that began with them last would end alone.
    """
    files = list(dict.fromkeys(item.location[0] for item in items))
    long = [file for file in reversed(files) if file.startswith(_LONG)]
    short = [file for file in files if not file.startswith(_LONG)]
    places = {file: index / len(some) for some in (long, short) for index, file in enumerate(some)}
    items.sort(key=lambda item: (places[item.location[0]], item.location[0]))


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run a test marked ``virtual_time`` in a loop that jumps from timer to timer; a server needs real time."""
    servers = {"broker", "broker_url", "redis_url"}.intersection(cast(pytest.Function, item).fixturenames)
    if item.get_closest_marker("virtual_time") is not None and not servers:
        return {"virtual": VirtualTimeLoop}
    return {"real": asyncio.new_event_loop}


def pytest_collection_finish() -> None:
    """Set aside what was there before the first test: looking through it after each of them would take 50 ms."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _set_aside() -> None:
    """Set aside what earlier files left in caches and modules: each async test's collection would go through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith("EDGEBUS_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_token_in_logs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test during which a token was logged. A command that was run in this process may have turned logs away."""
    for name in SEARCHED:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.DEBUG)
    search = request.config.stash[SEARCH]
    before = len(search.found)
    yield
    assert search.found[before:] == [], "a token was logged"


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> None:
    """Watch the loop of an async test; a sync test gets none."""
    if is_async_test(request.node):
        request.getfixturevalue("_watched_loop")


@pytest.fixture
async def _watched_loop() -> AsyncIterator[None]:
    """Fail a test that leaves a task behind, or an exception that nobody saw.

    The first fixture to be set up is the last to be torn down: what the others stop in time is gone by then.
    """
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unseen.append(context))
    yield
    gc.collect()  # a task whose exception nobody asked for tells so when it is collected
    left = asyncio.all_tasks() - {asyncio.current_task()}
    complaints = [f"left behind: {task!r}" for task in left] + [_describe(context) for context in unseen]
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


def _describe(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"unseen: {context['message']}\n" + ("".join(traceback.format_exception(error)) if error else "")


@pytest.fixture(scope="session")
def broker_url() -> Iterator[str]:
    """Lend one real server to the tests that neither stop nor change it; each puts its data under a name of its own."""
    with EmbeddedBroker(port=0) as broker:
        yield broker.url


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """Lend a real server to one test, which may do with it what it likes."""
    with EmbeddedBroker(port=0) as broker:
        yield broker


@pytest.fixture
async def producer(broker: EmbeddedBroker) -> AsyncIterator[Producer]:
    """Lend a producer."""
    async with Producer(broker.url) as producer:
        yield producer
