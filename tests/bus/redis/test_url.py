from collections.abc import Callable
from pathlib import Path

import pytest

from bus.errors import AddressError
from bus.redis import address
from bus.redis.subscriber import Subscriber
from bus.redis.url import parse, place
from producers import Producer
from producers.blocking import Producer as BlockingProducer


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("redis://h?foo=bar", "an option that there is not, 'foo'; redis:// takes db, password, username"),
        ("redis://h?db=0&db=0", "db twice"),
        ("redis://h?db=", "db no value"),
        ("redis://h?socket_timeout=5", "socket_timeout"),
        ("redis://h?protocol=3", "protocol"),
        ("redis://h?ssl_ca_certs=/ca.pem", "ssl_ca_certs, which is for rediss://"),
        ("unix:///run/r.sock?ssl_ca_certs=/ca.pem", "ssl_ca_certs, which is for rediss://"),
        ("rediss://h?ssl_ca_certs=/nowhere/ca.pem", "/nowhere/ca.pem as its ssl_ca_certs"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs another value than none, optional, required"),
        ("rediss://h?ssl_check_hostname=maybe", "ssl_check_hostname another value"),
        (f"rediss://h?ssl_ca_certs={__file__}", "certificates that cannot be used"),
        (f"rediss://h?ssl_certfile={__file__}", "certificates that cannot be used"),
        ("redis://:57#hunter2@host", "'#' stands in it.*%23"),
        ("redis://:57/hunter2@host", "stands before its '@'.*%2F"),
        ("redis://:57?hunter2@host", "stands before its '@'.*%3F"),
        ("redis://:57?a=hunter2@host", "stands before its '@'"),
        ("redis://:hunter2 x@host", "' ' stands in it.*%20"),
        ("redis://:hunter2\t@host", "control character"),
        ("redis://ho\nst", "control character"),
        ("redis://:hunter2%FF@host", "password is not UTF-8"),
        ("redis://h:0", "port is not from 1 to 65535"),
        ("redis://h:65536", "port is not from 1 to 65535"),
        ("redis://h:12x", "host and port"),
        ("redis://a:1,b:2", "host and port"),
        ("redis://h/zero", "database is no number"),
        ("unix://run/r.sock", "names no socket"),
        ("unix:///", "names no socket"),
        ("unix://", "names no socket"),
        ("unix://me:hunter2@run/r.sock", "names no socket"),
        ("redis+sentinel://a:1/main?db=0", "'db'"),
        ("redis+sentinel://a:0/main", "host or port"),
        ("redis+sentinel://a/main?sentinel_pasword=hunter2", "sentinel_pasword"),
        ("redis://h?password=a&hunter%32=x", "an option that there is not, one"),
    ],
)
def test_wrong_part_is_named_at_construction_everywhere(url: str, part: str) -> None:
    """Producer, blocking producer, link and commands refuse the same URLs, name the part, and show no password."""
    makers: list[Callable[[], object]] = [
        lambda: Producer(url),
        lambda: BlockingProducer(url),
        lambda: Subscriber(url, name="test", deliver=lambda _: None),
        lambda: address.client(url, "test"),
        lambda: address.check_url(url),
    ]
    for make in makers:
        with pytest.raises(AddressError, match=part) as caught:
            make()
        assert "hunter2" not in str(caught.value)


def test_what_is_no_text_is_refused() -> None:
    """A URL of another type is told so."""
    with pytest.raises(AddressError, match="of type PosixPath"):
        parse(Path("/run/redis.sock"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://h", ()),
        ("redis://:pw@h", ("pw",)),
        ("redis://svc@h", ("svc", "")),
        ("redis://svc:@h", ("svc", "")),
        ("redis://svc:p%40w%23%2F@h", ("svc", "p@w#/")),
        ("redis://h?username=svc&password=p%26w", ("svc", "p&w")),
        ("redis://:@h", ()),
        ("unix://svc@/run/r.sock", ("svc", "")),
        ("redis+sentinel://svc@a:1/main", ("svc", "")),
    ],
)
def test_log_in_is_the_same_for_every_reader(url: str, words: tuple[str, ...]) -> None:
    """The link's words of AUTH are those that the client library is given."""
    assert address.login(url) == words
    given = address.check_url(url)
    assert (given["username"], given["password"] or "") == (
        (words[0], words[1]) if len(words) > 1 else (None, "".join(words))
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("h", ("h", 1)), ("h:5", ("h", 5)), ("", ("localhost", 1)), (":5", ("localhost", 5)), ("[::1]:5", ("::1", 5))],
)
def test_host_and_port(text: str, expected: tuple[str, int]) -> None:
    """A host that is not named is this machine, a port that is not named the usual one."""
    assert place(text, 1) == expected


@pytest.mark.parametrize(
    ("name", "fit"),
    [
        ("my service", "my%20service"),
        ("plain-1", "plain-1"),
        ("é\n", "%C3%A9%0A"),
        ("50%", "50%25"),
        ("a:b/c", "a:b/c"),
    ],
)
def test_name_is_made_fit(name: str, fit: str) -> None:
    """CLIENT SETNAME takes visible ASCII only; two names stay two."""
    assert address.fit_name(name) == fit
