from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from bus.channel import Channel, Family
from bus.errors import ChannelError
from bus.event import Event
from bus.service import PastEvent, Request, Service

WORKFLOW = Family("workflow:{workflow_id}", permission="workflow:read")
ADAPTERS = Family("adapters")
TEAMS = Family("goal-teams")
TEAMS_OF_ONE = Family("goal-teams:{user_id}")
GLOBAL = Family("global", shared_by="mahavishnu")
STRANGE = Family("strange:{workflow_id}")


class Started(Event, event="workflow.started", channels=(WORKFLOW, GLOBAL)):
    workflow_id: str


class Enabled(Event, event="adapter.enabled", channels=(ADAPTERS.fill(), WORKFLOW.fill("fixed"))):
    pass


class Strange(Event, event="workflow.strange", channels=(WORKFLOW, STRANGE)):
    workflow_id: str


class StrangeFixed(Event, event="workflow.strange_fixed", channels=(STRANGE.fill("x"),)):
    pass


class Question(BaseModel):
    workflow_id: str


class Answer(BaseModel):
    count: int


def channels_of(question: Question) -> Sequence[Channel]:
    return (WORKFLOW.fill(question.workflow_id),)


def count_all(_question: Question, events: Sequence[PastEvent]) -> Answer:
    return Answer(count=len(events))


REQUEST = Request("get_count", Question, Answer, channels_of, count_all)


def service(
    name: str = "mahavishnu",
    families: tuple[Family, ...] = (WORKFLOW, ADAPTERS, TEAMS, TEAMS_OF_ONE, GLOBAL),
    events: tuple[type[Event], ...] = (Started, Enabled),
    requests: tuple[Request[Question, Answer], ...] = (REQUEST,),
) -> Service:
    return Service(name, 8690, "Connected", families, events, requests)


@pytest.mark.parametrize("name", ["", "Mahavishnu", "a b", "9a", "a" * 33, "a.b", "a/b", "a\n"])
def test_service_with_a_bad_name_is_refused(name: str) -> None:
    """A service's name is what a command line and a channel of Redis can hold."""
    with pytest.raises(ValueError, match="no service name"):
        service(name)


def test_family_named_twice_is_refused() -> None:
    """Two families of one form would make a channel belong to both; the message names the form."""
    with pytest.raises(ValueError, match="families named twice: workflow:"):
        service(families=(WORKFLOW, ADAPTERS, GLOBAL, Family("workflow:{other}")))


def test_bare_name_and_its_filled_form_are_two_families() -> None:
    """`goal-teams` and `goal-teams:{user_id}` live side by side."""
    catalogue = service()
    assert catalogue.channel("goal-teams") == TEAMS.fill()
    assert catalogue.channel("goal-teams:me") == TEAMS_OF_ONE.fill("me")


def test_request_named_twice_is_refused() -> None:
    """Two requests of one name contradict each other."""
    with pytest.raises(ValueError, match="requests named twice: get_count"):
        service(requests=(REQUEST, REQUEST))


def test_request_without_a_fold_is_live() -> None:
    """A question that no log answers is a responder's; one with a fold is, too, where the catalogue says so."""
    assert not REQUEST.live
    assert REQUEST.has_fold
    asked = Request("render", Question, Answer, permission="workflow:render", timeout_s=2)
    assert asked.live
    assert not asked.has_fold
    assert Request("get_count", Question, Answer, channels_of, count_all, live=True).live


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({}, "whom may the service answer"),
        ({"permission": ""}, "permission is empty"),
        ({"permission": 5}, "permission is to be a text"),
        ({"permission": "a", "timeout_s": 0}, "timeout_s is 0"),
        ({"permission": "a", "timeout_s": 301}, "at most 300"),
        ({"permission": "a", "timeout_s": float("nan")}, "timeout_s is nan"),
        ({"permission": "a", "timeout_s": "5"}, "a number of seconds"),
        ({"permission": "a", "live": 1}, "live is to be true or false"),
        ({"permission": "a", "fold": count_all}, "a fold needs channels"),
    ],
)
def test_live_request_with_a_wrong_part_is_refused(parts: dict[str, Any], sentence: str) -> None:
    """A request that nobody could be allowed, or that waits for ever, is refused when the catalogue is made."""
    with pytest.raises(ValueError, match=f"^render: .*{sentence}"):
        Request("render", Question, Answer, **parts)


@pytest.mark.parametrize("event", [Strange, StrangeFixed])
def test_event_on_a_strange_channel_is_refused(event: type[Event]) -> None:
    """An event that goes where no client of the service can subscribe is refused by name when the catalogue is made."""
    with pytest.raises(ValueError, match=f"mahavishnu: {event.__name__} goes on a channel"):
        service(events=(Started, event))


def test_channel_is_found_by_the_name_that_clients_use() -> None:
    """A name is resolved with its retention, permission and name on Redis."""
    catalogue = service()
    assert catalogue.channel("workflow:wf_123") == WORKFLOW.fill("wf_123")
    assert catalogue.channel("workflow:wf_123").permission == "workflow:read"
    assert catalogue.channel("global").redis == "global:mahavishnu"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "workflow",
        "workflow:",
        "workflow:a\nb",
        "adapters:x",
        "nothing",
        "global:mahavishnu",
        "workflow:*",
        "bus:x",
        ":",
    ],
)
def test_other_names_are_refused_with_the_forms_there_are(name: str) -> None:
    """A client that asks for what is no channel learns the forms of those there are."""
    with pytest.raises(ChannelError) as caught:
        service().channel(name)
    message = str(caught.value)
    assert all(form in message for form in ("workflow:{workflow_id}", "adapters", "goal-teams:{user_id}", "global"))
    assert "mahavishnu" in message


def test_events_and_requests_are_found_by_name() -> None:
    """A name on the wire finds its model; one that is not there finds None."""
    catalogue = service()
    assert catalogue.event("workflow.started") is Started
    assert catalogue.event("workflow.nothing") is None
    assert catalogue.request("get_count") is REQUEST
    assert catalogue.request("get_nothing") is None


def test_envelope_is_the_dialect_unless_said_otherwise() -> None:
    """Only session-buddy speaks another one."""
    assert service().dialect == "envelope"


def test_family_of_a_channel() -> None:
    """A channel's family is found again; a channel of another service has none here."""
    catalogue = service()
    for family, name in [
        (WORKFLOW, "workflow:1"),
        (TEAMS, "goal-teams"),
        (TEAMS_OF_ONE, "goal-teams:a"),
        (GLOBAL, "global"),
    ]:
        assert catalogue.family(catalogue.channel(name)) is family
    with pytest.raises(LookupError):
        catalogue.family(STRANGE.fill("1"))


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("workflow:%zz", "workflow:%25zz; "),
        ("workflow%3Awf_1", "workflow:wf_1; "),
        ("workflow%3aa%20b%3Ac", "workflow:a%20b:c; "),
    ],
)
def test_refusal_has_the_right_spelling(name: str, spelled: str) -> None:
    """A name that can be mended is mended in the message, one encoded as a whole among them."""
    catalogue = service()
    with pytest.raises(ChannelError) as caught:
        catalogue.channel(name)
    assert spelled in str(caught.value)
    assert catalogue.channel(spelled.rstrip("; ")) is not None


def test_channel_has_one_name() -> None:
    """Whatever the spelling of the id, the channel is the producer's."""
    catalogue = service()
    assert {catalogue.channel(f"workflow:{text}") for text in ("a b:ü", "a%20b%3A%c3%bc")} == {WORKFLOW.fill("a b:ü")}
