"""A server on which only the users that ``edgebus acl`` prints may do anything, beside one administrator."""

import functools
import re
import subprocess
from dataclasses import dataclass

from bus.broker.embedded import EmbeddedBroker
from tests.journeys.processes import DEADLINE_S, edgebus, program

ADMIN = "admin:admin-of-the-test"
_PLACE = "redis.invalid:6390"


@dataclass(frozen=True, slots=True)
class Users:
    """URLs by role, each with its user's name and password."""

    producer: str
    edge: str
    operator: str
    admin: str
    responder: str = ""
    dashboard: str = ""


def redis_cli(url: str, *words: str, lines: str = "") -> str:
    """Run redis-cli as the user of ``url``, with ``lines`` on its standard input; return what it printed."""
    ran = subprocess.run(
        [program("redis-cli", "redis-tools"), "--no-auth-warning", "-u", url, *words],
        input=lines,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    return ran.stdout.strip()


@functools.cache
def printed(*options: str) -> tuple[str, str]:
    """Return what ``edgebus acl`` prints and tells beside it, for a place that is put in later: once is enough."""
    ran = edgebus("acl", "--redis", f"redis://{_PLACE}", *options)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout, ran.stderr


def users_only(broker: EmbeddedBroker, *options: str) -> Users:
    """Make the users as a person does, ``edgebus acl | redis-cli``, and let nobody else in any more."""
    lines, beside = printed(*options)
    assert redis_cli(broker.url, lines=lines).split()[-3:] == ["OK", "OK", "OK"]
    urls = dict(
        re.findall(
            r"^(\w+): EDGEBUS_REDIS_URL=(\S+)$",
            beside.replace(_PLACE, broker.url.removeprefix("redis://")),
            re.MULTILINE,
        )
    )
    users = Users(**urls, admin=broker.url.replace("://", f"://{ADMIN}@"))
    name, _, password = ADMIN.partition(":")
    closing = f"ACL SETUSER {name} on >{password} ~* &* +@all\nACL SETUSER default off\n"
    assert redis_cli(broker.url, lines=closing).split() == ["OK", "OK"]
    return users
