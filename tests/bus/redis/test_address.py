import pytest

from bus.errors import AddressError, BusError
from bus.redis import address


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://h:6390",
        "redis://h:6390/",
        "redis://h/0",
        "redis://h?db=0",
        "unix:///run/r.sock",
        "redis://[::1]:6390",
    ],
)
def test_database_zero_is_accepted(url: str) -> None:
    """A URL that names database 0, or none, is used."""
    assert address.check_url(url).get("db", 0) == 0


@pytest.mark.parametrize(
    "url", ["redis://h/1", "redis://h:6390/15", "redis://h?db=2", "unix:///run/r.sock?db=3", "redis://h/-1"]
)
def test_other_database_is_refused(url: str) -> None:
    """Pub/sub ignores the number, so a URL with another one is refused, and the message says why."""
    with pytest.raises(AddressError, match="database 0 only"):
        address.check_url(url)


@pytest.mark.parametrize(
    "url", ["", "localhost:6390", "http://h", "redis://h:port", "redis://h:99999", "redis://[::1", "127.0.0.1"]
)
def test_malformed_url_is_refused(url: str) -> None:
    """What is no Redis URL is an error of ours, which is a value error too."""
    with pytest.raises(AddressError, match="cannot be used") as caught:
        address.check_url(url)
    assert isinstance(caught.value, BusError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2/x@h:6390",
        "redis://me:hunter2[x@h:6390",
        "redis://:hunter2@h/7",
        "hunter2@h",
        "http://:hunter2@h",
    ],
)
def test_refusal_hides_the_password(url: str) -> None:
    """A password that was not escaped makes the URL malformed, and must not end up in the message about that."""
    with pytest.raises(AddressError) as caught:
        address.check_url(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6390", "redis://127.0.0.1:6390"),
        ("redis://:hunter2@h:6390", "redis://…@h:6390"),
        ("rediss://me:hunter2@h:6390/0", "rediss://…@h:6390/0"),
        ("redis://me:hun@ter2@h:6390", "redis://…@h:6390"),
        ("redis://h:6390?password=hunter2", "redis://h:6390"),
        ("redis://h:6390?password=hun@ter2", "redis://h:6390"),
        ("unix:///run/r.sock?password=hunter2", "unix:///run/r.sock"),
        ("unix://me:hunter2@/run/r.sock", "unix://…@/run/r.sock"),
    ],
)
def test_url_is_shown_without_its_password(url: str, shown: str) -> None:
    """What is logged and printed names the server and nothing that opens it."""
    assert address.without_password(url) == shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://127.0.0.1:6390", "redis://me:pw@127.0.0.1:6390"),
        ("redis://:old@h:1", "redis://me:pw@h:1"),
        ("rediss://you:old@h:1?ssl_ca_path=/x", "rediss://me:pw@h:1?ssl_ca_path=/x"),
        ("unix:///run/redis.sock", "unix://me:pw@/run/redis.sock"),
        ("redis+sentinel://you:old@a:1,b:2/main", "redis+sentinel://me:pw@a:1,b:2/main"),
    ],
)
def test_url_is_given_another_login(url: str, expected: str) -> None:
    """Only the login changes, and what comes of it can be used."""
    assert address.with_login(url, "me", "pw") == expected
    assert address.login(expected) == ("me", "pw")


def test_start_line_names_the_address_and_the_command() -> None:
    """The sentence that helps holds the place, the line to type and the way to another server, not the password."""
    line = address.start_line("redis://:hunter2@127.0.0.1:6390")
    assert "127.0.0.1:6390" in line
    assert "edgebus broker" in line
    assert "--redis" in line
    assert "hunter2" not in line


def test_default_url_is_the_variable_then_the_port_of_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """EDGEBUS_REDIS_URL wins; without it, or when it is empty, it is 127.0.0.1:6390, and never 6379."""
    monkeypatch.delenv("EDGEBUS_REDIS_URL", raising=False)
    assert address.default_url() == "redis://127.0.0.1:6390"
    monkeypatch.setenv("EDGEBUS_REDIS_URL", "")
    assert address.default_url() == "redis://127.0.0.1:6390"
    monkeypatch.setenv("EDGEBUS_REDIS_URL", "redis://elsewhere:1")
    assert address.default_url() == "redis://elsewhere:1"


async def test_client_of_a_refused_url_is_never_made() -> None:
    """Whoever makes a client is told at once, before anything connects."""
    with pytest.raises(AddressError):
        address.client("redis://h/5", "name")


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("redis://10.0.0.5:7791", "redis-cli -h 10.0.0.5 -p 7791"),
        ("redis://10.0.0.5", "redis-cli -h 10.0.0.5 -p 6379"),
        ("redis://[::1]:7791", "redis-cli -h ::1 -p 7791"),
        ("redis://:hidden@h:1", "redis-cli -h h -p 1 --askpass"),
        ("redis://default:hidden@h:1", "redis-cli -h h -p 1 --askpass"),
        ("redis://edgebus-edge:hidden@h:1", "redis-cli -h h -p 1 --user ADMIN --askpass"),
        ("unix:///run/my%20redis.sock", "redis-cli -s '/run/my redis.sock'"),
        ("rediss://h:1?ssl_ca_certs=/ca.pem", "redis-cli -h h -p 1 --tls --cacert /ca.pem"),
        ("rediss://h:1?ssl_cert_reqs=none", "redis-cli -h h -p 1 --tls --insecure"),
        (
            "rediss://h:1?ssl_certfile=/c.pem&ssl_keyfile=/k.pem",
            "redis-cli -h h -p 1 --tls --cert /c.pem --key /k.pem",
        ),
    ],
)
async def test_redis_cli_leads_where_the_url_does(url: str, line: str) -> None:
    """Host and port or socket, TLS and its files; no password, which redis-cli asks for."""
    assert await address.redis_cli(url) == line


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", "redis://there:1"),
        ("redis://a:p%2Fw@h:6390/0", "redis://a:p%2Fw@there:1"),
        ("redis://:p%40w@h", "redis://:p%40w@there:1"),
        ("redis://alone@h", "redis://alone@there:1"),
        ("unix:///run/r.sock?username=a&password=b", "redis://a:b@there:1"),
        ("redis+sentinel://a:b@s1,s2/main?sentinel_password=c", "redis://a:b@there:1"),
        (
            "rediss://a:b@h?ssl_ca_certs=/ca.pem&ssl_cert_reqs=none",
            "rediss://a:b@there:1?ssl_ca_certs=/ca.pem&ssl_cert_reqs=none",
        ),
    ],
)
def test_another_server_is_reached_with_the_same_log_in(url: str, expected: str) -> None:
    """Log-in and TLS files stay, the sentinels' own log-in does not; what is printed can be read again."""
    found = address.elsewhere(url, "there", 1)
    assert found == expected
    kept = ("username", "password", "ssl_ca_certs")
    assert [address.read_url(found).get(it) for it in kept] == [address.read_url(url).get(it) for it in kept]


def test_address_of_version_6_is_put_in_brackets() -> None:
    """As in every URL."""
    assert address.elsewhere("redis://h", "::1", 6390) == "redis://[::1]:6390"
