import pytest

from edges.net.forwarded import client_address, is_trusted, parse_network, was_https

PROXIES = [parse_network("10.0.0.0/8"), parse_network("192.0.2.7"), parse_network("fd00::/8")]
PROXY = "10.0.0.1"
CLIENT = "203.0.113.9"


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ([], PROXY),
        ([CLIENT], CLIENT),
        ([f"{CLIENT}, 10.9.9.9"], CLIENT),
        ([CLIENT, "10.9.9.9", "192.0.2.7"], CLIENT),
        ([f"1.1.1.1, 127.0.0.1, 10.0.0.5, {CLIENT}"], CLIENT),
        (["1.1.1.1", f"10.1.1.1, {CLIENT}, 10.2.2.2"], CLIENT),
        (["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ([f"{CLIENT}:51234"], CLIENT),
        (["[2001:db8::9]:51234"], "2001:db8::9"),
        (["[2001:db8::9]"], "2001:db8::9"),
        (["2001:db8::9"], "2001:db8::9"),
        (["2001:0DB8:0000::0009"], "2001:db8::9"),
        (['"[2001:db8::9]:1"'], "2001:db8::9"),
        (["::ffff:203.0.113.9"], CLIENT),
        (["fe80::1%eth0"], "fe80::1"),
        ([f" {CLIENT}\t"], CLIENT),
    ],
)
def test_rightmost_untrusted_address_is_the_clients(listed: list[str], expected: str) -> None:
    """What a listed proxy added counts, however many entries the client itself had written before."""
    assert client_address(PROXY, listed, PROXIES) == expected


@pytest.mark.parametrize(
    "garbage",
    [
        *("unknown", "", ",", "_hidden", "localhost", "999.1.1.1", "1.2.3", "1.2.3.4:99:1", "[::1", "::1]:5", "-1"),
        *("203.0.113.9 10.0.0.1", "' OR 1=1", "\x00", "٣.٣.٣.٣", "203.0.113.9:x", "0x7f.1", "[[::1]]", "%"),
        "1" * 60_000,
    ],
)
def test_garbage_names_nobody(garbage: str) -> None:
    """Behind what is no address nothing is believed: the proxy that passed it on is all that is known."""
    assert client_address(PROXY, [f"{CLIENT}, {garbage}"], PROXIES) == PROXY
    assert client_address(PROXY, [f"{garbage}, 10.3.3.3"], PROXIES) == "10.3.3.3"


def test_no_more_hops_are_looked_at_than_there_may_be() -> None:
    """Of a list that somebody made long only the right end counts, be every entry a listed proxy's."""
    hops = ["10.0.0.2"] * 64
    assert client_address(PROXY, [CLIENT, *hops], PROXIES) == CLIENT
    assert client_address(PROXY, [CLIENT, "10.0.0.9", *hops], PROXIES) == "10.0.0.2"


@pytest.mark.parametrize("listed", [[], ["10.0.0.1"], ["1.1.1.1, 127.0.0.1"], ["x"]])
def test_peer_that_is_no_listed_proxy_is_the_client(listed: list[str]) -> None:
    """Whoever connects directly is who they are, whatever they write."""
    assert client_address(CLIENT, listed, PROXIES) == CLIENT
    assert client_address(CLIENT, listed, []) == CLIENT


def test_proxy_by_an_address_of_ipv6_that_is_one_of_ipv4() -> None:
    """A socket for both families shows IPv4 peers as ::ffff:…; they are the same proxies."""
    assert client_address("::ffff:10.0.0.1", [CLIENT], PROXIES) == CLIENT
    assert client_address("::ffff:203.0.113.9", ["1.1.1.1"], PROXIES) == CLIENT


def test_peer_without_an_address() -> None:
    """A peer of a Unix socket has none, and is no listed proxy."""
    assert client_address("", [CLIENT], PROXIES) == ""
    assert not is_trusted("", PROXIES)


@pytest.mark.parametrize(
    ("peer", "protocols", "expected"),
    [
        (PROXY, ["https"], True),
        (PROXY, [" WSS "], True),
        (PROXY, ["http"], False),
        (PROXY, [], False),
        (PROXY, ["https", "http"], False),
        (PROXY, ["https, http"], False),
        (CLIENT, ["https"], False),
    ],
)
def test_protocol_is_believed_from_a_listed_proxy_only(peer: str, protocols: list[str], expected: bool) -> None:
    """One value of a listed proxy says how its client came."""
    assert was_https(peer, protocols, PROXIES) is expected


@pytest.mark.parametrize(
    ("text", "fix"),
    [("10.0.0.1/8", "write 10.0.0.0/8"), ("proxy.internal", "write 10.0.0.7"), ("", "write"), ("10.0.0.0/33", "write")],
)
def test_network_wrong_is_refused_with_the_fix(text: str, fix: str) -> None:
    """An entry that names no proxy is an error that says what to write."""
    with pytest.raises(ValueError, match=fix):
        parse_network(text)
