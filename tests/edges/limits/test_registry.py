import asyncio

from edges.limits.quotas import Quota
from edges.limits.registry import Registry
from edges.protocol.messages import Closing, Notice

HERE, THERE = "192.0.2.1", "192.0.2.2"


class Peer:
    def __init__(self) -> None:
        self.is_cut = False
        self.asked_at = list[float]()

    def check_deadlines(self, now: float) -> None: ...

    def check_revoked(self) -> None: ...

    def close(self, code: Closing) -> None: ...

    def notify(self, notice: Notice) -> bool:
        return True

    def prove_alive(self, now: float) -> None:
        self.asked_at.append(now)

    def cut(self) -> None:
        self.is_cut = True

    waiting_bytes = 7


def entered(registry: Registry, count: int = 1, address: str = HERE, *, apart_s: float = 2.0) -> list[Peer]:
    peers = [Peer() for _ in range(count)]
    for number, peer in enumerate(peers):
        registry.enter(peer, address, apart_s * number)
    return peers


def test_place_taken_when_the_handshake_is_complete() -> None:
    """Who still shakes hands takes no place from those who are done."""
    registry = Registry(limit=2)
    first, second, third, fourth = entered(registry, 4)
    assert [registry.take_place(peer) for peer in (fourth, third, second)] == [True, True, False]
    assert len(registry) == 3
    registry.exit(first)
    assert len(registry) == 2


def test_lagging_connections_are_known_until_they_catch_up_or_go() -> None:
    """With what waits for them; twice is once, and a stranger is ignored."""
    registry = Registry(limit=3)
    first, second, third = entered(registry, 3)
    for peer in (first, first, second):
        registry.lag(peer)
    registry.catch_up(third)
    assert (registry.statistics().lagging, registry.statistics().waiting_bytes) == (2, 14)
    registry.catch_up(first)
    registry.exit(second)
    assert (registry.statistics().lagging, registry.statistics().waiting_bytes) == (0, 0)


def test_place_of_one_that_left_goes_to_the_next() -> None:
    """A place is free again when its client is gone, and leaving twice frees it once."""
    registry = Registry(limit=1)
    first, second, third = entered(registry, 3)
    registry.take_place(first)
    registry.exit(first)
    registry.exit(first)
    assert registry.take_place(second)
    assert not registry.take_place(third)
    assert len(registry) == 1
    assert registry.statistics().limited["max_connections"] == 1


def test_plain_http_takes_no_place() -> None:
    """A health check is no client, and its end does not free a place that it has not."""
    registry = Registry(limit=1)
    check, client, late = entered(registry, 3)
    registry.give_back(check)
    assert registry.take_place(client)
    registry.exit(check)
    assert not registry.take_place(late)
    assert len(registry) == 1


def test_stranger_takes_no_place_until_it_is_known() -> None:
    """Who has still to show a token is one of the handshakes, however complete its own is; then it is a client."""
    registry = Registry(limit=1)
    stranger, user, late = entered(registry, 3)
    registry.expect_token(stranger, HERE)
    assert not registry.is_full
    assert registry.take_place(user)
    assert registry.is_full
    assert not registry.take_place(stranger)
    registry.exit(user)
    assert registry.take_place(late)
    assert registry.statistics().limited["max_connections"] == 1


def test_flood_of_strangers_pushes_out_its_own_oldest() -> None:
    """Behind a proxy strangers come from one socket's address; it is their own that tells whose flood it is."""
    registry = Registry(limit=10, handshakes=3)
    peers = [Peer() for _ in range(6)]
    for number, (peer, address) in enumerate(zip(peers, (THERE, HERE, HERE, HERE, HERE, THERE), strict=True)):
        registry.enter(peer, "10.0.0.1", 2.0 * number)
        registry.expect_token(peer, address)
    assert [peer.is_cut for peer in peers] == [False, True, True, True, False, False]
    registry.expect_token(Peer(), HERE)
    assert len(registry) == 3


def test_flood_of_handshakes_pushes_out_its_own_oldest() -> None:
    """One too many, and the oldest of the network with most of them goes; a place is nobody's to take."""
    registry = Registry(limit=10, handshakes=3)
    client, neighbour = *entered(registry), *entered(registry, address=THERE)
    registry.take_place(client)
    flood = entered(registry, 5)
    assert [peer.is_cut for peer in flood] == [True, True, True, False, False]
    assert not client.is_cut
    assert not neighbour.is_cut
    assert registry.take_place(neighbour)
    assert registry.statistics().limited["max_handshakes"] == 3


def test_many_at_once_are_given_a_moment() -> None:
    """Clients that come back all at once are no flood, up to twice the number; those that stay are dropped later."""
    registry = Registry(limit=10, handshakes=2)
    peers = entered(registry, 4, apart_s=0.0)
    assert not any(peer.is_cut for peer in peers)
    registry.enter(Peer(), THERE, 0.0)
    assert [peer.is_cut for peer in peers] == [True, False, False, False]
    registry.look(1.0)
    assert [peer.is_cut for peer in peers] == [True, True, True, False]


def test_addresses_of_one_network_are_one() -> None:
    """Whoever has a /64 of IPv6 has more addresses than an edge has memory."""
    registry = Registry(limit=10, handshakes=2)
    first, other = *entered(registry, address="2001:db8::1"), *entered(registry, address="2001:db8:0:1::1")
    second = Peer()
    registry.enter(second, "2001:db8::2", 2.0)
    assert [peer.is_cut for peer in (first, second, other)] == [True, False, False]


def test_claim_counts_until_the_connection_is_gone() -> None:
    """What an address has too much of is said by the setting's name, until one of its connections is gone."""
    registry = Registry(limit=10, addresses=Quota("address", connections=1))
    first, second = entered(registry, 2)
    assert registry.claim(first, HERE, 0.0) is None
    excess = registry.claim(second, HERE, 0.0)
    assert excess is not None
    assert (excess.name, excess.limit) == ("max_connections_per_address", 1)
    assert registry.claim(second, THERE, 0.0) is None
    registry.exit(first)
    assert registry.claim(entered(registry)[0], HERE, 0.0) is None
    statistics = registry.statistics()
    assert (statistics.refused, statistics.limited["max_connections_per_address"]) == (1, 1)


def test_user_is_counted_once_per_connection() -> None:
    """A renewed token is no new connection; one of another user is that user's."""
    registry = Registry(limit=10, users=Quota("user", connections=1))
    first, second = entered(registry, 2)
    assert [registry.identify(first, "ada", 0.0) for _ in range(2)] == [None, None]
    excess = registry.identify(second, "ada", 0.0)
    assert excess is not None
    assert excess.name == "max_connections_per_user"
    assert registry.identify(first, "bob", 0.0) is None
    assert registry.identify(second, "ada", 0.0) is None
    registry.exit(first)
    registry.exit(second)
    assert registry.identify(entered(registry)[0], "bob", 0.0) is None


def test_one_too_many_makes_the_others_prove_themselves() -> None:
    """Whoever stands in the newcomer's way is asked for a sign of life, and nobody else; nor for coming too often."""
    addresses, users = Quota("address", connections=2), Quota("user", connections=1, per_second=1)
    registry = Registry(limit=10, addresses=addresses, users=users)
    first, second, third = entered(registry, 3)
    assert [registry.claim(first, HERE, 0.0), registry.identify(first, "ada", 0.0)] == [None, None]
    assert [registry.claim(second, THERE, 0.0), registry.identify(second, "bob", 0.0)] == [None, None]
    assert registry.identify(third, "ada", 5.0) is not None
    assert [peer.asked_at for peer in (first, second, third)] == [[5.0], [], []]
    fourth, fifth = entered(registry, 2)
    assert registry.claim(fourth, THERE, 6.0) is None
    assert registry.claim(fifth, THERE, 7.0) is not None
    assert [peer.asked_at for peer in (first, second, fourth)] == [[5.0], [7.0], [7.0]]
    registry.exit(first)
    assert registry.identify(third, "ada", 5.0) is None
    assert registry.identify(third, "cleo", 5.0) is None
    assert registry.identify(fourth, "ada", 5.0) is None
    registry.exit(fourth)
    excess = registry.identify(fifth, "ada", 5.0)
    assert excess is not None
    assert excess.name == "connects_per_second_per_user"
    assert [peer.asked_at for peer in (third, fourth)] == [[], [7.0]]


def test_gone_before_it_was_counted_is_not_counted() -> None:
    """Who was dropped while its handshake was read leaves nothing behind."""
    registry = Registry(limit=10, users=Quota("user", connections=1))
    (peer,) = entered(registry)
    registry.exit(peer)
    assert not registry.take_place(peer)
    assert registry.identify(peer, "ada", 0.0) is None
    assert registry.identify(entered(registry)[0], "ada", 0.0) is None


def test_statistics_tell_accepted_from_refused() -> None:
    """The counters say how many clients got in and how many did not, and every limit is there from the start."""
    registry = Registry(limit=1)
    for peer in entered(registry, 2):
        registry.take_place(peer)
    statistics = registry.statistics()
    assert (statistics.connections, statistics.accepted, statistics.refused) == (1, 1, 1)
    assert statistics.limited["max_rooms"] == 0


async def test_emptied_returns_when_the_last_one_is_gone() -> None:
    """The end waits for everybody who is connected, with a place or without."""
    registry = Registry(limit=1)
    first, second = Peer(), Peer()
    registry.enter(first, HERE, 0.0)
    registry.enter(second, HERE, 0.0)
    waiting = asyncio.create_task(registry.emptied())
    registry.exit(first)
    await asyncio.sleep(0)
    assert not waiting.done()
    registry.exit(second)
    await waiting


def test_found_by_name_for_as_long_as_it_has_it() -> None:
    """A connection is found by its newest names until it is gone; one that never came has none."""
    registry = Registry(limit=9)
    first, second = entered(registry, 2)
    registry.name(first, ("user:ada", "id:1"))
    registry.name(second, ("user:ada",))
    registry.name(first, ("user:ada", "id:2"))
    registry.name(Peer(), ("user:ada",))
    assert [registry.named(name) for name in ("user:ada", "id:1", "id:2")] == [(second, first), (), (first,)]
    registry.exit(first)
    registry.exit(second)
    assert [registry.named(name) for name in ("user:ada", "id:2")] == [(), ()]
