import pytest

from edges.limits.rates import Patience, TokenBucket


def test_bucket_full_holds_twice_the_rate() -> None:
    """The bucket holds twice the rate, so a burst of that many passes and the next one does not."""
    bucket = TokenBucket(100, now=0.0)
    assert [bucket.take(0.0) for _ in range(200)] == [0.0] * 200
    assert bucket.take(0.0) > 0


def test_bucket_empty_names_the_wait_after_which_a_token_is_there() -> None:
    """What is refused learns the seconds after which it would not be, and not less."""
    bucket = TokenBucket(100, now=0.0)
    bucket.take(0.0, tokens=200)
    wait_s = bucket.take(0.0)
    assert bucket.take(0.9 * wait_s) > 0
    assert bucket.take(wait_s) == 0.0


def test_bucket_refused_takes_nothing() -> None:
    """A refusal costs no token, so a client that goes on asking is not locked out for it."""
    bucket = TokenBucket(10, now=0.0)
    bucket.take(0.0, tokens=20)
    for _ in range(1_000):
        assert bucket.take(0.05) > 0
    assert bucket.take(0.11) == 0.0


def test_bucket_idle_never_holds_more_than_twice_the_rate() -> None:
    """An hour of silence does not save up for a flood."""
    bucket = TokenBucket(10, now=0.0)
    assert bucket.take(3_600.0, tokens=21) > 0
    assert bucket.take(3_600.0, tokens=20) == 0.0


def test_bucket_is_charged_beyond_what_it_holds() -> None:
    """What was let in and costs more than there is, is paid off before the next is let in."""
    bucket = TokenBucket(10, now=0.0)
    assert bucket.take(0.0) == 0.0
    bucket.charge(29)
    assert bucket.take(0.0) == pytest.approx(1.1)
    assert bucket.take(1.05) > 0
    assert not bucket.is_full(2.9)
    assert bucket.is_full(3.1)
    assert bucket.take(1.11) == 0.0


def test_patience_ends_with_the_hundredth_refusal_within_ten_seconds() -> None:
    """100 refusals within 10 s are one too many, 99 are not."""
    patience = Patience()
    assert not any(patience.ends(9.9 * number / 99) for number in range(99))
    assert patience.ends(9.9)


def test_patience_slow_refusals_never_end_it() -> None:
    """Refusals that never come 100 within 10 s are borne for ever."""
    patience = Patience()
    assert not any(patience.ends(0.102 * number) for number in range(10_000))


def test_patience_any_ten_seconds_count() -> None:
    """100 refusals within any 10 s end it, not only within ten seconds that begin with some first one."""
    patience = Patience()
    patience.ends(0.0)
    assert not any(patience.ends(9.5) for _ in range(98))
    assert any(patience.ends(10.5) for _ in range(99))
