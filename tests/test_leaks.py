"""The search for tokens in logs finds them, wherever in a record they are."""

import logging

import pytest

from edgebus.logs import configure
from tests.leaks import SEARCH, Search

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize("name", ["edgebus", "redis.asyncio.connection", "push_response", "asyncio", "uvloop"])
def test_everything_beneath_the_edge_is_searched_too(name: str, request: pytest.FixtureRequest) -> None:
    """What the libraries log is let through at debug level, as what the bus itself logs."""
    search = request.config.stash[SEARCH]
    before = search.records
    logging.getLogger(name).debug("looked at")
    assert search.records == before + 1


def test_command_takes_the_logs() -> None:
    """What a command in this process does to the loggers lasts for its own test only."""
    configure("error")
    assert not logging.getLogger("edgebus").propagate


def test_search_heard_again(request: pytest.FixtureRequest) -> None:
    """This is the test after that one."""
    search = request.config.stash[SEARCH]
    before = search.records
    logging.getLogger("edgebus").debug("looked at")
    assert search.records == before + 1


def fails(token: str) -> None:
    raise ValueError(token)


@pytest.mark.parametrize("where", ["text", "argument", "field", "traceback", "nowhere"])
def test_token_is_found_wherever_it_was_logged(where: str) -> None:
    """Text, arguments, fields and tracebacks are searched; a record without a token is passed over."""
    search = Search()
    logger = logging.Logger("edgebus.test", logging.DEBUG)  # noqa: LOG001 (alone: this run's own search must not hear it)
    logger.addHandler(search)
    match where:
        case "text":
            logger.debug(f"token {TOKEN}")  # noqa: G004 (the mistake that is looked for)
        case "argument":
            logger.debug("token %s", TOKEN)
        case "field":
            logger.debug("a token", extra={"shown": {"token": TOKEN}})
        case "traceback":
            try:
                fails(TOKEN)
            except ValueError:
                logger.exception("a bug")
        case _:
            logger.debug("a connection", extra={"connection": "7f3e"})
    assert search.records == 1
    assert len(search.found) == (where != "nowhere")


def test_output_of_processes_is_searched() -> None:
    """What a process wrote counts like a record."""
    search = Search()
    search.look_at_output("all is well", "edge")
    search.look_at_output(f"token={TOKEN}", "edge")
    assert (search.processes, search.found) == (2, ["edge"])
