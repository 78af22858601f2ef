"""docs/running.md, typed from top to bottom on empty machines.

The machines are roots in namespaces of their own (machines/world.py). What runs truly: useradd, install, the wheel, the
virtual environments, Redis with its users and its replica, Sentinels, edges, haproxy, nginx, and failovers. What stands
in: ``systemctl`` reads the installed units and runs their lines, but confines nothing (``systemd-analyze verify`` does
run); ``scp`` copies; ``hostname -I`` tells a machine's address; pip finds its packages there and fetches none.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.docs.machines.world import HERE, World
from tests.docs.pages import Block, blocks
from tests.journeys.processes import program, until

PAGE: Final = "docs/running.md"
ADDRESSES: Final = {"edges": "10.0.0.21", "redis-1": "10.0.0.11", "redis-2": "10.0.0.12"}
EDGES: Final = ADDRESSES["edges"]
SERVICE_FILE: Final = "/opt/edgebus-services/weather.py"
COUNTING: Final = "/tmp/counting.py"  # noqa: S108 (of a machine of the page)
URLS: Final = """. /etc/edgebus/passwords
export SSL_CERT_FILE=/etc/edgebus/tls/edgebus-ca.pem
place=10.0.0.11:26379,10.0.0.12:26379,10.0.0.21:26379/bus?sentinel_password=$SENTINELS
export EDGEBUS_REDIS_URL="redis+sentinel://edgebus-producer-weather:$PRODUCER@$place"
"""
WITHOUT_PIP: Final = """python3 -m venv --without-pip /opt/edgebus-1
site=$(/opt/edgebus-1/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cp -a bus producers edges clients edgebus /opt/edgebus-services/weather.py $site
chmod -R go+rX $site
printf '#!/bin/sh\\nexec /opt/edgebus-1/bin/python -m edgebus "$@"\\n' >/opt/edgebus-1/bin/edgebus
chmod 755 /opt/edgebus-1/bin/edgebus
ln -s /opt/edgebus-1 /opt/edgebus
ln -s /opt/edgebus/bin/edgebus /usr/local/bin/edgebus
"""
LONG: Final = ("make wheel", "CKQUORUM", "release=/opt/edgebus-2", "SENTINEL FAILOVER")
"""Words of the blocks that take long: they are typed at night."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Lend the three machines, empty."""
    for name, package in (
        *(("redis-server", "redis-server"), ("redis-cli", "redis-tools"), ("haproxy", "haproxy"), ("nginx", "nginx")),
        *(("systemd-analyze", "systemd"), ("curl", "curl"), ("openssl", "openssl"), ("ip", "iproute2")),
    ):
        program(name, package)
    if os.geteuid() != 0:
        pytest.skip("machines of their own need root, for mounts")
    with World(tmp_path, list(ADDRESSES.values()), {}) as world:
        yield world


def page() -> list[Block]:
    """Return the blocks that are typed, and the service's file."""
    return [block for block in blocks(PAGE) if block.note.startswith("on ") or block.note == "README"]


def typed(world: World, block: Block) -> str:
    """Type a block on each machine that it is for; return what the last one printed."""
    if block.note == "README":
        return world.run(f"cat >{SERVICE_FILE} <<'END_OF_FILE'\n{block.text}END_OF_FILE\n", at=EDGES)
    machines = [it for it in block.note.removeprefix("on ").split(", ") if it in ADDRESSES]
    return [world.run(block.text, at=ADDRESSES[it]) for it in machines][-1]


def is_apart(block: Block) -> bool:
    return "supervisord" in block.note


def having(words: str) -> Block:
    (found,) = [block for block in page() if words in block.text]
    return found


def test_page_has_the_service_of_the_readme() -> None:
    """Whoever comes from the README finds the same file here."""
    (here,) = [block.text for block in blocks(PAGE) if block.note == "README"]
    assert here in [block.text for block in blocks("README.md")]


@pytest.mark.nightly  # needs root and the right to mount, which a container may not have; its small form is above
@pytest.mark.timeout(300)
def test_page_is_typed_with_the_environment_of_this_tree(world: World) -> None:
    """Empty machines come to serve an event over TLS by haproxy and nginx; building and moving is left to the night."""
    for block in page():
        if block.text.startswith("release=/opt/edgebus-1\npython3"):
            world.run(WITHOUT_PIP, at=EDGES)
        elif "ln -sfn $release" not in block.text and not is_apart(block) and not any(it in block.text for it in LONG):
            printed = typed(world, block)
            if "edgebus doctor" in block.text:
                assert "\n0 fail, " in printed
            if "AUTH edgebus" in block.text:
                assert printed.split() == ["OK"] * 4
            if "edgebus publish" in block.text:
                assert printed.count('"celsius":-3.5') == 2
    _replica_without_users_refuses_everybody(world)


def _replica_without_users_refuses_everybody(world: World) -> None:
    """Check the page's warning, and that both of its checks find the case: a replica has the data, and no user."""
    world.run(
        ". /etc/redis/passwords\n"
        "printf 'user admin on nopass ~* &* +@all\\nuser default off\\n' >/etc/redis/users.acl\n"
        "REDISCLI_AUTH=$ADMIN redis-cli -h 10.0.0.12 --user admin ACL LOAD",
        at=ADDRESSES["redis-2"],
    )
    printed = typed(world, having("AUTH edgebus-edge-weather"))
    assert re.findall(r"\b(OK|WRONGPASS)\b", printed) == ["OK", "OK", "WRONGPASS", "WRONGPASS"], printed
    told = world.run(f"{having('edgebus doctor').text.strip()} || echo its exit code is $?", at=EDGES)
    assert re.findall(r"^fail +(\S+) +(\S+):6379", told, re.M) == [("users", ADDRESSES["redis-2"])]
    assert told.endswith("its exit code is 1\n")


# At night


class Terminal:
    """A program that goes on on a machine while the page is typed."""

    def __init__(self, world: World, text: str) -> None:
        self._process = subprocess.Popen(
            world.argv(text, at=EDGES), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def line(self) -> str:
        """Return the next line."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def rest(self) -> dict[str, Any]:
        """End the input, and return what the last line says."""
        printed, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, printed
        found: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return found


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_page_is_typed_twice_and_no_client_lacks_an_event(world: World) -> None:
    """Each block does no harm when typed again; upgrade, rollback and failovers lose nothing for clients of haproxy.

    While the last three happen, one publisher and some clients count; the publisher waits for the replica.
    """
    for block in page():
        if not any(it in block.text for it in ("ln -sfn $release", "SENTINEL FAILOVER")) and not is_apart(block):
            for _ in range(2):
                typed(world, block)
    world.run(f"cat >{COUNTING} <<'END_OF_FILE'\n{(HERE / 'counting.py').read_text()}END_OF_FILE\n", at=EDGES)
    with _counting(world, "upgraded") as upgraded:
        for words, release in (("release=/opt/edgebus-2\nln", "2"), ("release=/opt/edgebus-1\nln", "1")):
            typed(world, having(words))
            assert _releases(world) == {f"/opt/edgebus-{release}/bin/python"}
    assert upgraded.items() >= {"lost": 0, "twice": 0, "in_order": True, "gaps": []}.items()
    with _counting(world, "failing") as failing:
        typed(world, having("SENTINEL FAILOVER"))
        typed(world, having("CKQUORUM"))
        _let_the_primary_die(world)
    world.run("systemctl disable --now edgebus-edge@weather-{1,2,3}", at=EDGES)
    for _ in range(2):
        typed(world, next(filter(is_apart, page())))
    print(f"in upgrade and rollback: {upgraded}; in two failovers: {failing}")
    # What only the dead primary had and edges had given is told as a gap; published again, it is the same event.
    assert failing.items() >= {"lost": 0, "in_order": True}.items()
    assert failing["twice"] == 0 or "diverged" in failing["gaps"]


@contextmanager
def _counting(world: World, station: str) -> Iterator[dict[str, Any]]:
    """Have clients of haproxy count what they hear while the block is typed; the dictionary is filled at its end."""
    counted: dict[str, Any] = {}
    run = f"{URLS}exec /opt/edgebus/bin/python {COUNTING}"
    watching = Terminal(world, f"{run} watch {station} wss://bus.example.com")
    publishing = Terminal(world, f"{run} publish {station}")
    assert [watching.line() for _ in range(5)] == ["watching"] * 5
    yield counted
    counted.update(publishing.rest())
    counted.update(watching.rest())


def _let_the_primary_die(world: World) -> None:
    """Kill the primary, wait until the Sentinels have made the other one so, and start what died anew."""
    died = _primary(world)
    world.run("kill -9 $(cat /run/units/redis-server.service)", at=died)
    until(lambda: _primary(world) != died, 60)
    world.run("systemctl start redis-server", at=died)
    world.run(
        'for n in 1 2 3; do timeout 60 sh -c "until curl -fs http://127.0.0.1:870$n/readyz; do :; done"; done', at=EDGES
    )


def _primary(world: World) -> str:
    """Return the address of the primary, as a Sentinel says."""
    asked = "redis-cli -h 10.0.0.21 -p 26379 SENTINEL GET-MASTER-ADDR-BY-NAME bus"
    return world.run(f". /etc/edgebus/passwords; REDISCLI_AUTH=$SENTINELS {asked}", at=EDGES).split()[0]


def _releases(world: World) -> set[str]:
    """Return which Python the edges run with."""
    edges = "ps -eo args | grep '/bin/edgebus edge weather' | grep -o '^/opt/edgebus-[0-9]*/bin/python'"
    return set(world.run(edges, at=EDGES).split())
