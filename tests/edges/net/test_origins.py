import re

import pytest

from edges.net.origins import Verdict, check_origin, is_of_this_machine, names_this_machine, verdict

ALLOWED = frozenset({"https://app.example.com", "http://127.0.0.1:3000"})


@pytest.mark.parametrize(
    ("origins", "expected"),
    [
        (["https://app.example.com"], Verdict.FREE),
        (["http://127.0.0.1:3000"], Verdict.FREE),
        ([], Verdict.WITH_TOKEN),
        ([""], Verdict.REFUSED),
        (["null"], Verdict.REFUSED),
        (["https://evil.example"], Verdict.REFUSED),
        (["http://app.example.com"], Verdict.REFUSED),
        (["https://app.example.com:444"], Verdict.REFUSED),
        (["https://app.example.com:443"], Verdict.REFUSED),
        (["https://app.example.com/"], Verdict.REFUSED),
        (["https://APP.example.com"], Verdict.REFUSED),
        (["https://app.example.com.evil.example"], Verdict.REFUSED),
        (["https://evil-app.example.com"], Verdict.REFUSED),
        (["https://app.example.com "], Verdict.REFUSED),
        (["https://app.example.com, https://evil.example"], Verdict.REFUSED),
        (["https://app.example.com", "https://evil.example"], Verdict.REFUSED),
        (["https://app.example.com", "https://app.example.com"], Verdict.REFUSED),
    ],
)
def test_allow_list_is_compared_letter_by_letter(origins: list[str], expected: Verdict) -> None:
    """Only what stands in the list comes in; who names no page needs a token; two headers are refused."""
    assert verdict(origins, ALLOWED) is expected


@pytest.mark.parametrize("origins", [[], ["https://anybody.example"], ["null"], ["nonsense"]])
def test_without_a_list_every_page_comes_in(origins: list[str]) -> None:
    """No allow-list, no check of what a page is."""
    assert verdict(origins, ()) is Verdict.FREE


LOCAL_HOSTS = ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.8.8.8", "[::1]", "app.localhost"]
OTHER_HOSTS = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evillocalhost",
    "0.0.0.0",  # noqa: S104
    "[::]",
    "10.0.0.7",
    "192.168.1.5",
    "[fe80::1]",
    "localhost@evil.example",
    "evil.example#@localhost",
    "127.0.0.1,evil.example",
    "::1",
    "127.1",
    "",
]


@pytest.mark.parametrize("port", ["", ":8690"])
@pytest.mark.parametrize("host", LOCAL_HOSTS)
def test_hosts_and_pages_of_this_machine(host: str, port: str) -> None:
    """A name or an address that leads nowhere else, with a port or without, and a page that such a host served."""
    assert names_this_machine(host + port)
    assert is_of_this_machine(f"http://{host}{port}".lower())
    assert is_of_this_machine(f"https://{host}{port}".lower())


@pytest.mark.parametrize("port", ["", ":8690", ":x"])
@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_hosts_and_pages_of_others(host: str, port: str) -> None:
    """Whatever else is written there may lead, or be led, elsewhere: a name's owner says where it leads."""
    assert not names_this_machine(host + port)
    assert not is_of_this_machine(f"http://{host}{port}")


@pytest.mark.parametrize(
    "origin", ["", "null", "*", "localhost", "file://", "file://localhost", "http://localhost/", "chrome-extension://a"]
)
def test_origins_that_are_no_page_of_this_machine(origin: str) -> None:
    """A file, a sandboxed page and an extension say nothing of where they are from."""
    assert not is_of_this_machine(origin)


def test_two_headers_are_refused_without_a_list_too() -> None:
    """No browser sends two."""
    assert verdict(["https://a.example", "https://a.example"], ()) is Verdict.REFUSED


@pytest.mark.parametrize(
    "text",
    [
        "https://app.example.com",
        "http://localhost:3000",
        "http://[::1]:3000",
        "https://xn--mnchen-3ya.example",
        "chrome-extension://abcdefgh",
        "https://a.example:8443",
    ],
)
def test_entry_as_browsers_send_it(text: str) -> None:
    """A serialised origin is taken as it is."""
    assert check_origin(text) == text


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("https://app.example.com/", "write https://app.example.com"),
        ("https://app.example.com/path?x#y", "write https://app.example.com"),
        ("https://App.Example.com", "write https://app.example.com"),
        ("HTTPS://app.example.com", "write https://app.example.com"),
        ("https://app.example.com:443", "write https://app.example.com"),
        ("http://app.example.com:080", "write http://app.example.com"),
        ("https://münchen.example", "write https://xn--mnchen-3ya.example"),
        ("https://app.example.com:99999", "no such port"),
        ("https://app.example.com:0", "no such port"),
        ("https://app.example.com:" + "9" * 9_000, "no such port"),
        ("app.example.com", "https://app.example.com"),
        ("https://user@app.example.com", "https://app.example.com"),
        ("https://*.example.com", "list each"),
        ("https:// app.example.com", "https://app.example.com"),
        ("*", "empty list"),
        ("null", "sandboxed"),
        ("", "https://app.example.com"),
    ],
)
def test_entry_that_no_browser_sends_is_refused_with_the_fix(text: str, fix: str) -> None:
    """A wrong entry would lock everybody out in silence, so it is an error that says what to write."""
    with pytest.raises(ValueError, match=re.escape(fix)):
        check_origin(text)
