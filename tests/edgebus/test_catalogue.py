import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel

from bus.description import describe
from bus.errors import ChannelError, EventError, ServiceNotFound
from bus.service import Request
from edgebus.catalogue import all_services, find_channel, find_event, find_service


def test_channel_of_one_service_is_found_by_its_name() -> None:
    """A channel that one service has needs no service in front."""
    service, channel = find_channel("workflow:wf_123", all_services())
    assert (service.name, channel.redis) == ("mahavishnu", "workflow:wf_123")


def test_shared_channel_wants_its_service() -> None:
    """``global`` alone is ambiguous, and the message shows how to say which."""
    with pytest.raises(ChannelError, match="mahavishnu/global"):
        find_channel("global", all_services())
    service, channel = find_channel("crackerjack/global", all_services())
    assert (service.name, channel.redis) == ("crackerjack", "global:crackerjack")


def test_id_with_a_slash_is_no_service() -> None:
    """A slash inside an id does not make its front a service."""
    _, channel = find_channel("page:/shop/cart", all_services())
    assert channel.name == "page:/shop/cart"


@pytest.mark.parametrize("text", ["nope", "nope:1", "workflow:", "workflow:*", "__keyspace@0__:x", "bus:epoch", ""])
def test_channel_of_no_service_is_refused(text: str) -> None:
    """What no service has is refused before anything is asked of Redis."""
    with pytest.raises(ChannelError):
        find_channel(text, all_services())


@pytest.mark.parametrize("text", ["workflow:a b:ü", "workflow:a%20b%3A%c3%bc", "mahavishnu/workflow:%61 b:ü"])
def test_channel_is_found_by_any_spelling(text: str) -> None:
    """A plain id and an encoded one name the producer's channel."""
    _, channel = find_channel(text, all_services())
    assert channel.redis == "workflow:a%20b:%C3%BC"


@pytest.mark.parametrize("text", ["workflow:100%", "mahavishnu/workflow:100%"])
def test_name_that_cannot_be_one_is_refused_with_its_spelling(text: str) -> None:
    """The message has the name to type instead."""
    with pytest.raises(ChannelError, match="workflow:100%25"):
        find_channel(text, all_services())


def test_event_is_found_with_and_without_its_service() -> None:
    """An event's name leads to its model."""
    _, model = find_event("workflow.started", all_services())
    assert find_event("mahavishnu/workflow.started", all_services())[1] is model


def test_unknown_event_is_refused() -> None:
    """A name of no event is refused with the command that lists them."""
    with pytest.raises(EventError, match="edgebus services"):
        find_event("workflow.begun", all_services())


def test_unknown_service_is_refused() -> None:
    """A name of no service is refused with the forms there are."""
    with pytest.raises(ServiceNotFound, match="mahavishnu"):
        all_services("no.such.module:SERVICE")


def test_every_service_can_be_described_as_json() -> None:
    """The catalogue of each service has its port, channels, events and requests."""
    for service in all_services():
        described = describe(service)
        assert len(described["events"]) == len(service.events)
        assert described["port"] == service.port


def test_model_without_a_schema_is_described_as_anything() -> None:
    """A field of a type that JSON schema has no word for keeps neither a command nor an edge from the rest."""

    class Odd(BaseModel):
        hook: Callable[[int], int]

    own = Request("get_odd", Odd, Odd, lambda _: (), lambda question, _: question)
    described = describe(replace(find_service("akosha"), requests=(own,)))
    assert described["requests"] == [{"request": "get_odd", "data": {}, "answer": {}, "live": False}]


COMMAND = Path(sys.executable).with_name("edgebus")
"""The script that pip installs: unlike ``python -m`` it does not put the current folder on the path."""


@pytest.mark.parametrize("service", ["mahavishnu", "weather:SERVICE"])
def test_folder_runs_nothing_that_nobody_asked_for(tmp_path: Path, service: str) -> None:
    """A file called like a module of Python's own or of ours lies in the folder: it is not run, whoever is served."""
    (tmp_path / "weather.py").write_text(
        "from bus.channel import Family\nfrom bus.service import Service\n"
        'SERVICE = Service(name="weather", port=0, welcome="", families=(Family("station:{id}"),), events=())\n'
    )
    for name in ("stringprep", "orjson", "yaml", "redis"):
        (tmp_path / f"{name}.py").write_text(f"open('ran', 'a').write('{name} ')\nraise SystemExit(9)\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("EDGEBUS_", "PYTHONPATH"))}
    words = ("edge", service, "--port", "0", "--redis", "redis://localhost:1")
    edge = subprocess.Popen(
        [COMMAND, *words], cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert edge.stdout is not None
    assert edge.stderr is not None
    with edge:
        assert "listens on ws://127.0.0.1:" in edge.stdout.readline(), edge.stderr.read()
        assert any("localhost:1" in line for line in edge.stderr), "it has tried to reach Redis"
        edge.send_signal(signal.SIGINT)
        edge.communicate(timeout=30)
    assert edge.returncode == 0
    assert not (tmp_path / "ran").exists()


def test_folder_is_not_on_the_path_for_built_in_services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It joins the path for ``module:ATTRIBUTE`` only, and comes last there."""
    monkeypatch.chdir(tmp_path)
    before = [entry for entry in sys.path if entry]
    monkeypatch.setattr(sys, "path", list(before))
    all_services()
    assert sys.path == before
    for _ in range(2):
        with pytest.raises(ServiceNotFound):
            all_services("no_such_module:SERVICE")
    assert sys.path == [*before, str(tmp_path)]


OWN = """
from bus.channel import Family
from bus.service import Service
from producers.services.mahavishnu import WORKFLOW
SERVICE = Service(name="weather", port=1, welcome="", families=({family},), events=())
"""


@pytest.mark.parametrize(
    ("family", "other"),
    [
        ('Family("workflow:{id}")', "mahavishnu"),
        ('Family("patterns")', "akosha"),
        ('Family("global:{id}")', "mahavishnu"),
        ('Family("global", shared_by="dhruva")', "dhruva"),
        ("WORKFLOW", None),
        ('Family("workflows:{id}")', None),
        ('Family("workflow")', None),
        ('Family("global", shared_by="weather")', None),
    ],
)
def test_services_share_no_log_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, other: str | None
) -> None:
    """A family of one's own that would write a built-in service's logs is refused; the very same family is meant so."""
    monkeypatch.syspath_prepend(tmp_path)
    name = f"own_{abs(hash((family, str(tmp_path))))}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(OWN).replace("{family}", family))
    for find in (find_service, all_services):
        if other is None:
            find(f"{name}:SERVICE")
            continue
        with pytest.raises(ChannelError, match=f"weather: .*{other}.*one log"):
            find(f"{name}:SERVICE")


@pytest.mark.parametrize(("repository", "service"), [("dhara", "dhruva"), ("excalidraw-mcp", "excalidraw")])
def test_service_is_found_by_its_repository(repository: str, service: str) -> None:
    """A repository's name means the service, alone and in front of a channel."""
    assert find_service(repository).name == service
    assert find_channel(f"{repository}/global", all_services())[0].name == service
