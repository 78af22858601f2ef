"""A pytest plugin: publishes its test run, test by test, as crackerjack's events on ``test:<run id>``.

The plugin is off without ``--edgebus`` or ``EDGEBUS_PYTEST=1``. Redis can neither fail a run nor hold a run up: events
leave by a thread, and events that Redis did not take are tried again. Events left at the end are counted and told. Of
pytest-xdist only the controller publishes.

A pytest started by a test inherits ``EDGEBUS_PYTEST``, and publishes as a run of its own: the outer run takes
``EDGEBUS_RUN_ID`` out of the environment until the end.
"""

# decisions/0014: every pytest of an environment imports this module, on or off. So imports that take long stand in the
# functions that need them.

import logging
import math
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

import pytest

if TYPE_CHECKING:
    from bus.event import Event
    from producers.blocking import Producer
    from producers.services.crackerjack import Crackerjack

__all__ = ["pytest_addoption", "pytest_configure"]

_ORDERLY_ENDS: Final = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
_WAITING_LIMIT: Final = 1_000
_BATCH: Final = 100
_PAUSE_S: Final = 1.0
"""How long Redis is left alone after it failed."""
_PATIENCE_S: Final = {True: 2.0, None: 1.0, False: 0.0}
"""How long an answer may take at the end of a run, by whether Redis gave the last one (None: it owes the first)."""
_LAST_CHANCE_S: Final = 0.1
_CONNECT_S: Final = 0.5
_TEXT_LIMIT: Final = 1_000
_TRACEBACK_LIMIT: Final = 32_000
"""Characters, of which JSON makes six bytes at worst: then a line stays below the bus's 256 KiB."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; without ``--edgebus`` all others are idle."""
    group = parser.getgroup("edgebus", "publishing the run on the event bus")
    group.addoption(
        "--edgebus",
        action="store_true",
        help="publish this run, test by test, as crackerjack's events (EDGEBUS_PYTEST=1)",
    )
    group.addoption(
        "--edgebus-run-id", metavar="ID", help="publish on test:ID (default: EDGEBUS_RUN_ID, else an id of its own)"
    )
    group.addoption(
        "--edgebus-redis",
        metavar="URL",
        help="where Redis is (default: EDGEBUS_REDIS_URL, else redis://127.0.0.1:6390)",
    )
    parser.addini(
        "edgebus_test_suite", "name of the test suite in what --edgebus publishes (default: the root folder's)"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Have the run published, if the options say so."""
    if _is_on(config):
        config.pluginmanager.register(_make(config), "edgebus-run")


def _is_on(config: pytest.Config) -> bool:
    wanted = config.getoption("edgebus") or os.environ.get("EDGEBUS_PYTEST") == "1"
    is_worker = hasattr(config, "workerinput")  # of pytest-xdist; its controller sees the reports of all workers
    return bool(wanted) and not is_worker and not config.getoption("collectonly")


def _make(config: pytest.Config) -> "_Run":
    from bus.errors import AddressError, ChannelError
    from bus.redis.address import default_url, without_password
    from producers.blocking import OutboxSettings, Producer
    from producers.services.crackerjack import TEST, Crackerjack

    inherited = _inherited_run_id(config)
    run_id = _clean(config.getoption("edgebus_run_id") or inherited or secrets.token_hex(4))
    url = config.getoption("edgebus_redis") or default_url()
    try:
        channel = TEST.fill(run_id)
        # One attempt, and nothing that holds up the exit: whether Redis is there decides the outlet.
        producer = Producer(
            url, name="crackerjack", deadline_s=0, outbox=OutboxSettings(close_s=0), logger=_silent_logger()
        )
        outlet = _Outlet(producer)
    except (AddressError, ChannelError) as error:
        raise pytest.UsageError(f"edgebus cannot publish this run: {error}") from error
    suite = _short(config.getini("edgebus_test_suite") or config.rootpath.name or "pytest")
    header = f"edgebus: publishing as {channel.name} to {_clean(without_password(url))}"
    return _Run(run_id, suite, header, Crackerjack(outlet), outlet)


def _silent_logger() -> logging.Logger:
    """Return a logger that no handler of the tests hears."""
    # decisions/0014: a test that looks at `caplog` finds only its own program's records.
    logger = logging.Logger("edgebus.pytest")  # noqa: LOG001 (in no tree of loggers, so that no handler hears it)
    logger.addHandler(logging.NullHandler())
    return logger


def _inherited_run_id(config: pytest.Config) -> str | None:
    run_id = os.environ.pop("EDGEBUS_RUN_ID", None)
    if run_id is not None:
        config.add_cleanup(lambda: os.environ.update(EDGEBUS_RUN_ID=run_id))
    return run_id


class _Run:
    """Publishes pytest's reports of the run. No hook waits for Redis, but for a moment at begin and end."""

    def __init__(
        self, run_id: str, suite: str, header: str, bus: "Crackerjack[None, None, None]", outlet: "_Outlet"
    ) -> None:
        self._id, self._suite, self._header, self._bus, self._outlet = run_id, suite, header, bus, outlet
        self._cases: dict[str, _Case] = {}
        self._uncollected: list[pytest.CollectReport] = []
        self._is_started = False
        self._completed = self._failed = 0
        self._began_s = time.perf_counter()

    def pytest_sessionstart(self) -> None:
        self._outlet.open()

    def pytest_report_header(self) -> str:
        return self._header

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._uncollected.append(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        if not session.config.pluginmanager.hasplugin("dsession"):
            self._start(session.testscollected)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Start when the first worker has collected: each worker collects all tests."""
        self._start(len(ids))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._cases.setdefault(report.nodeid, _Case()).add(report)
        if report.failed:
            self._tell_failure(report, f"error at {report.when}: " if report.when in ("setup", "teardown") else "")
        if report.when not in ("setup", "call", "teardown"):  # xdist's "???": the worker died of this test
            self.pytest_runtest_logfinish(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        case = self._cases.pop(nodeid, None)
        if case is None or case.is_repeated:
            return
        self._completed += 1
        self._failed += case.outcome == "failed"
        self._bus.broadcast_test_case_completed(self._id, _short(nodeid), case.outcome, case.duration_s)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if self._is_started or self._uncollected:
            self._finish(exitstatus)
        self._outlet.close()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        complaint = self._outlet.complaint()
        if complaint:
            terminalreporter.write_line(f"edgebus: {complaint}")

    def _start(self, total: int) -> None:
        if not self._is_started:
            self._is_started = True
            self._bus.broadcast_test_started(self._id, self._suite, total)
            self._outlet.connect()

    def _finish(self, exitstatus: int) -> None:
        self._start(0)
        for report in self._uncollected:
            self._failed += 1
            self._tell_failure(report, "error at collection: ")
        if exitstatus not in _ORDERLY_ENDS and not self._failed:
            self._failed = 1  # or a run that was broken off would be taken for one that passed
            self._bus.broadcast_test_failed(self._id, self._suite, "the run ended before its tests did", "")
        duration_s = time.perf_counter() - self._began_s
        self._bus.broadcast_test_completed(self._id, self._completed, self._failed, duration_s)

    def _tell_failure(self, report: pytest.TestReport | pytest.CollectReport, where: str) -> None:
        traceback = _short(report.longreprtext, _TRACEBACK_LIMIT)
        self._bus.broadcast_test_failed(self._id, _short(report.nodeid), _short(where + _error(report)), traceback)


class _Case:
    """The outcome so far of a running test; the test's parts, such as subtests, count as one test."""

    # decisions/0014: reruns and subtests count as one test, and an error in set-up is a failure.

    outcome: Literal["passed", "failed", "skipped"] = "passed"
    duration_s: float = 0.0
    is_repeated: bool = False

    def add(self, report: pytest.TestReport) -> None:
        self.duration_s += report.duration
        if not (report.passed or report.failed or report.skipped):  # "rerun" of pytest-rerunfailures: it comes again
            self.is_repeated = True
        if report.failed:
            self.outcome = "failed"
        elif self.outcome != "failed" and report.when != "teardown":
            self.outcome = "skipped" if report.skipped else "passed"


class _Outlet:
    """Publishes from a thread. ``publish`` never waits and never raises; the oldest events give way."""

    # decisions/0014: the oldest of 1,000, so that the end of the run is told even where Redis was away for most of it.

    def __init__(self, producer: "Producer") -> None:
        self._producer = producer
        self._waiting: deque[Event] = deque(maxlen=_WAITING_LIMIT)
        self._changed = threading.Condition()
        self._is_ending = False
        self._answers: bool | None = None
        self._attempts = 0
        self._asked_s = math.inf
        self._given = self._sent = 0
        self._reason = "Redis did not answer in time"
        self._thread = threading.Thread(target=self._serve, name="edgebus-pytest", daemon=True)

    def open(self) -> None:
        """Start before the first test: an event loop needs sockets, and pytest-socket closes sockets to tests."""
        self._producer.__enter__()
        self._thread.start()

    def connect(self) -> None:
        """Give the first attempt half a second: an open connection outlasts pytest-socket's closing."""
        with self._changed:
            self._changed.wait_for(lambda: self._attempts > 0, _CONNECT_S)

    def publish(self, event: "Event") -> None:
        with self._changed:
            self._given += 1
            self._waiting.append(event)
            self._changed.notify_all()

    def publish_all(self, events: "Sequence[Event]") -> None:
        for event in events:
            self.publish(event)

    def publish_every(self, *_: object) -> None:
        raise NotImplementedError("a test run has nothing to say at intervals")

    def skip(self, *_: object) -> None:
        raise NotImplementedError("a test run streams no rows")

    def close(self) -> None:
        """Give the last events a moment; events that Redis does not take by then are lost."""
        # decisions/0014: longer where Redis answered the last time, hardly at all where Redis is known to be away.
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()
        now_s = time.monotonic()
        answer_due_s = min(self._asked_s, now_s) + _PATIENCE_S[self._answers]
        self._thread.join(max(answer_due_s - now_s, _LAST_CHANCE_S))

    def complaint(self) -> str | None:
        """Return the sentence about events that did not arrive, or None when all events did."""
        lost = self._given - self._sent
        return f"{lost} of {self._given} events were not published: {self._reason}" if lost else None

    def _serve(self) -> None:
        with suppress(Exception):
            for batch in iter(self._take, []):
                self._send(batch)
        with suppress(Exception):
            self._producer.close()

    def _take(self) -> "list[Event]":
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_ending)
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]

    def _send(self, batch: "list[Event]") -> None:
        self._asked_s = time.monotonic()
        try:
            # Each object is one event, however often it is tried.
            self._producer.publish_all(batch, repeated=True)
        except Exception as error:  # noqa: BLE001 -- not lost: told at the end; a test may patch anything under us
            self._note_failure(batch, error)
            self._pause()
        else:
            self._answers, self._asked_s = True, math.inf
            self._note_attempt(len(batch))

    def _note_failure(self, batch: "list[Event]", error: Exception) -> None:
        """Keep the events that Redis did not take, for another time; events that Redis refused stay refused."""
        from bus.errors import BusUnavailable

        outcomes: Sequence[object] = getattr(error, "results", ()) or [error] * len(batch)
        failed = [(event, it) for event, it in zip(batch, outcomes, strict=True) if isinstance(it, Exception)]
        again = [event for event, it in failed if isinstance(it, BusUnavailable) or _is_of_the_tests(it)]
        first = next((it for _, it in failed), error)
        self._answers = False if isinstance(first, BusUnavailable) and not _is_of_the_tests(first) else None
        self._reason = _short(" ".join(str(first).split()).replace("--redis URL", "--edgebus-redis URL"))
        with self._changed:
            room = _WAITING_LIMIT - len(self._waiting)
            self._waiting.extendleft(reversed(again[-room:] if room else []))
        self._note_attempt(len(batch) - len(failed))

    def _note_attempt(self, sent: int) -> None:
        with self._changed:
            self._sent += sent
            self._attempts += 1
            self._changed.notify_all()

    def _pause(self) -> None:
        with self._changed:
            if self._is_ending:
                self._waiting.clear()
            self._changed.wait_for(lambda: self._is_ending, _PAUSE_S)


def _is_of_the_tests(error: BaseException) -> bool:
    """Tell whether a test's own patch raised the error, such as pytest-socket's: the patch will be gone later."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, RuntimeError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _error(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return the line of a report that names the error."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return next(_lines(crash.message), "failed")
    lines = list(_lines(report.longreprtext)) or ["failed"]
    marked = [line.removeprefix("E ").strip() for line in lines if line.startswith("E ")]
    return (marked or lines)[-1]


def _lines(text: str) -> Iterator[str]:
    return (line.strip() for line in text.splitlines() if line.strip())


def _short(text: str, limit: int = _TEXT_LIMIT) -> str:
    """Return ``text`` fit for UTF-8; of a long text the middle is left out."""
    text = _clean(text)
    return text if len(text) <= limit else f"{text[: limit // 2]} […] {text[-limit // 2 :]}"


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
