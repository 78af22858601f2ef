import pytest

from bus.errors import ChannelError, EventError, ServiceNotFound
from edgebus.catalogue import all_services, describe, find_channel, find_event


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


@pytest.mark.parametrize("text", ["nope", "nope:1", "workflow:", "workflow:*", "__keyspace@0__:x", "bus:birth", ""])
def test_channel_of_no_service_is_refused(text: str) -> None:
    """What no service has is refused before anything is asked of Redis."""
    with pytest.raises(ChannelError):
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
