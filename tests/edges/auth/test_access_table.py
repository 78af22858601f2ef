"""Every caller, every channel and request, every verb, every service: real edges against a table typed by hand."""

from typing import Any, Final

import pytest

from edges import Edge
from edges.auth.permissions import Permissions
from producers.services import NAMES, load
from tests.edges.auth.access_table import CALLERS, NAMED, TABLE
from tests.edges.conftest import OpenClient, StartEdge
from tests.edges.peers import Client, eventually, get, http
from tests.edges.signing import SECRET, token

pytestmark = pytest.mark.virtual_time

FORMS: Final[dict[str, dict[str, Any]]] = {"plain": {}, "last": {"last": 1}, "since": {"since": "-15m"}}


def permissions(caller: str, service: str) -> list[str]:
    """Return what a caller of the table carries at a service."""
    other = "akosha" if service != "akosha" else "dhruva"
    return [it.format(service=service, other=other) for it in CALLERS[caller]]


def channels_for(caller: str, service: str) -> set[str]:
    """Return which channels the table opens."""
    return {channel for channel, callers in TABLE[service].channels.items() if caller in callers.split()}


def requests_for(caller: str, service: str) -> set[str]:
    """Return which requests the table opens."""
    return {name for name, (_, callers) in TABLE[service].requests.items() if caller in callers.split()}


async def ready(start_edge: StartEdge, url: str, service: str, **settings: Any) -> Edge:
    edge = await start_edge(
        service=load(service), redis_url=url, auth_secret=SECRET, message_rate_limit=10_000, **settings
    )
    await eventually(lambda: edge.not_ready() is None)
    return edge


async def answered(client: Client, verb: str, **data: Any) -> str | None:
    """Return the code of a request's answer, None when it went well; what comes between is no answer."""
    client.request(verb, verb, **data)
    while (message := await client.message())["correlation_id"] != verb:
        assert message["type"] == "event"
    code: str | None = message["error_code"]
    return code


async def opened(client: Client, service: str, form: str) -> set[str]:
    """Return the channels that a client can subscribe to; all others must be forbidden."""
    codes = {
        channel: await answered(client, "subscribe", channel=channel, **FORMS[form])
        for channel in TABLE[service].channels
    }
    assert set(codes.values()) <= {None, "FORBIDDEN"}
    return {channel for channel, code in codes.items() if code is None}


async def asked(client: Client, service: str) -> set[str]:
    """Return the requests that a client gets answers to; all others must be forbidden."""
    codes = {name: await answered(client, name, **data) for name, (data, _) in TABLE[service].requests.items()}
    assert set(codes.values()) <= {None, "FORBIDDEN", "NO_RESPONDER"}  # the last: was let in, and nobody is there
    return {name for name, code in codes.items() if code != "FORBIDDEN"}


@pytest.mark.parametrize("service", NAMES)
def test_table_is_complete(service: str) -> None:
    """Every family and every request of a service stands in the table, and nothing else; so does every service."""
    assert set(TABLE) == set(NAMES)
    catalogue, rows = load(service), TABLE[service]
    assert {catalogue.family(catalogue.channel(name)) for name in rows.channels} == set(catalogue.families)
    assert set(rows.requests) == {request.name for request in catalogue.requests}
    named = [*rows.channels.values(), *(callers for _, callers in rows.requests.values())]
    assert {caller for callers in named for caller in callers.split()} <= set(CALLERS)
    held = {permission.partition(":")[0] for caller in CALLERS for permission in CALLERS[caller]}
    assert {family.permission.partition(":")[0] for family in catalogue.families if family.permission} <= held


@pytest.mark.parametrize("service", NAMES)
async def test_subscribing_and_asking(
    start_edge: StartEdge, open_client: OpenClient, broker_url: str, service: str
) -> None:
    """With a token one can subscribe, in every form, and ask, as the table says: no more and no less."""
    edge = await ready(start_edge, broker_url, service, auth_required=True)
    for caller in CALLERS:
        for form in FORMS:
            client = await open_client(edge)
            assert await answered(client, "auth", token=token("alice", permissions(caller, service))) is None
            assert (caller, form, await opened(client, service, form)) == (caller, form, channels_for(caller, service))
            assert (caller, await asked(client, service)) == (caller, requests_for(caller, service))


@pytest.mark.parametrize("service", NAMES)
async def test_open_door_is_noticed(
    start_edge: StartEdge, open_client: OpenClient, broker_url: str, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the check switched off, what is compared above differs from the table in every row."""
    for check in ("may_read", "may_ask", "may_publish"):
        monkeypatch.setattr(Permissions, check, lambda *_: True)
    edge = await ready(start_edge, broker_url, service)
    client = await open_client(edge)
    assert await opened(client, service, "plain") == set(TABLE[service].channels) != channels_for("stranger", service)
    assert await asked(client, service) == set(TABLE[service].requests) - NAMED


@pytest.mark.parametrize("service", NAMES)
async def test_renewing(start_edge: StartEdge, open_client: OpenClient, broker_url: str, service: str) -> None:
    """Who was in every room and renews is left in those that the table opens to the new token, and told of the rest."""
    edge = await ready(start_edge, broker_url, service, auth_required=True)
    for caller in CALLERS:
        client = await open_client(edge)
        assert await answered(client, "auth", token=token("alice", ["admin"])) is None
        assert await opened(client, service, "plain") == set(TABLE[service].channels)
        assert await answered(client, "auth", token=token("alice", permissions(caller, service))) is None
        left = {notice["room"] for notice in await client.marked() if notice["event"] == "room.left"}
        assert (caller, left) == (caller, set(TABLE[service].channels) - channels_for(caller, service))
        assert (caller, await asked(client, service)) == (caller, requests_for(caller, service))


@pytest.mark.parametrize("service", NAMES)
async def test_anonymous(start_edge: StartEdge, open_client: OpenClient, broker_url: str, service: str) -> None:
    """Without a token, the same permissions open the same; but no user's own channel, which is nobody's here."""
    for caller in CALLERS:
        granted = permissions(caller, service)
        edge = await ready(start_edge, broker_url, service, anonymous_permissions=granted)
        client = await open_client(edge)
        expected = channels_for(caller, service)
        if not any(permission.endswith("admin") for permission in granted):
            expected -= {"goal-teams:alice"}
        for form in FORMS:
            assert (caller, form, await opened(client, service, form)) == (caller, form, expected)
        assert (caller, await asked(client, service)) == (caller, requests_for(caller, service) - NAMED)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("skill", ["1", None])
async def test_flat_subscribing(
    start_edge: StartEdge, open_client: OpenClient, broker_url: str, caller: str, skill: str | None
) -> None:
    """The session-buddy dialect is held to the same table."""
    edge = await ready(start_edge, broker_url, "session-buddy", auth_required=True)
    client = await open_client(edge)
    granted = permissions(caller, "session-buddy")
    client.send({"type": "subscribe", "skill": skill, "token": token("alice", granted)})
    connected, answer = await client.message(), await client.message()
    channel = "skills" if skill is None else "skill:1"
    is_open = channel in channels_for(caller, "session-buddy")
    assert connected["type"] == "connected"
    assert answer.get("error_code") == (None if is_open else "FORBIDDEN")


@pytest.mark.parametrize(
    "service", [it if it == "mahavishnu" else pytest.param(it, marks=pytest.mark.nightly) for it in NAMES]
)
async def test_plain_http(start_edge: StartEdge, broker_url: str, service: str) -> None:
    """Streams and the past open to each caller what a `subscribe` does; all else is forbidden."""
    edge = await ready(start_edge, broker_url, service, auth_required=True)
    for caller in CALLERS:
        bearer = f"Authorization: Bearer {token('alice', permissions(caller, service))}"
        for path in ("/events?channel=", "/channels/"):
            statuses = {
                channel: (await http(edge.port, get(path + channel, bearer, method="HEAD")))[0]
                for channel in TABLE[service].channels
            }
            assert set(statuses.values()) <= {200, 403}
            found = {channel for channel, status in statuses.items() if status == 200}
            assert (caller, path, found) == (caller, path, channels_for(caller, service))
