import pytest

from edges.limits.quotas import Quota, network_of


def test_quota_off_counts_nothing() -> None:
    """Without limits nothing is kept of anybody."""
    quota = Quota("address")
    assert [quota.enter("a", 0.0) for _ in range(1_000)] == [None] * 1_000
    quota.leave("a")
    assert len(quota) == 0


def test_quota_connections_at_once() -> None:
    """The one too many is refused by the setting's name; one that leaves makes room; others are not concerned."""
    quota = Quota("user", connections=2)
    assert [quota.enter("a", 0.0) for _ in range(2)] == [None, None]
    excess = quota.enter("a", 0.0)
    assert excess is not None
    assert (excess.name, excess.limit) == ("max_connections_per_user", 2)
    assert quota.enter("b", 0.0) is None
    quota.leave("a")
    assert quota.enter("a", 0.0) is None


def test_quota_connects_per_second() -> None:
    """A burst of twice the rate gets in, also of connections that end at once, then the wait is told."""
    quota = Quota("address", per_second=5)
    for _ in range(10):
        assert quota.enter("a", 0.0) is None
        quota.leave("a")
    excess = quota.enter("a", 0.0)
    assert excess is not None
    assert (excess.name, excess.limit) == ("connects_per_second_per_address", 5)
    assert quota.enter("a", excess.retry_s) is None


def test_quota_forgets_who_is_gone() -> None:
    """Whoever has no connection and a full bucket takes no memory, however many they were."""
    quota = Quota("address", connections=1, per_second=1)
    for number in range(10_000):
        quota.enter(str(number), 0.0)
        if number:
            quota.leave(str(number))
    quota.forget_idle(0.5)
    assert len(quota) == 10_000
    quota.forget_idle(2.0)
    assert len(quota) == 1


def test_quota_without_a_rate_forgets_at_once() -> None:
    """Where only connections count, none is as good as never there; leaving once more is harmless."""
    quota = Quota("address", connections=1)
    quota.enter("a", 0.0)
    assert quota.enter("a", 0.0) is not None
    quota.leave("a")
    quota.leave("a")
    assert len(quota) == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("unknown", "unknown"),
    ],
)
def test_network_of_an_address(address: str, network: str) -> None:
    """An IPv4 address is one; of IPv6 the first 64 bits are; what is no address is itself."""
    assert network_of(address) == network
