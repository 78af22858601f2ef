import signal
import socket
import subprocess
import sys

import pytest

from tests.ports import free_port

SCRIPT = """
import resource
from edgebus.serving import allow_files
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (100, most))
found = []
for count in (300, 200, 10**12):
    allow_files(count)
    found.append(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
assert found[:2] == [300, 300], found
assert found[2] in (most, 10**12), found
"""

COLLECTING = """
import asyncio, gc, signal
from edgebus.serving import serve_edge
from edges import EdgeSettings
from producers.services.mahavishnu import SERVICE
async def main():
    gc.disable()
    serving = asyncio.create_task(serve_edge(SERVICE, EdgeSettings(port=0)))
    while not gc.get_freeze_count():
        await asyncio.sleep(0)
    assert gc.isenabled() and gc.get_threshold() == (10_000, 5, 5), gc.get_threshold()
    signal.raise_signal(signal.SIGINT)
    await serving
asyncio.run(main())
"""


def test_collections_come_seldom_once_the_modules_are_frozen() -> None:
    """Modules are no garbage, and neither is a client that went (decisions/0151)."""
    subprocess.run([sys.executable, "-c", COLLECTING], check=True, timeout=30)


def test_files_are_allowed_as_far_as_the_system_lets() -> None:
    """The limit of open files is raised to what an edge may need, never lowered, and never past the system's."""
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=30)


@pytest.mark.parametrize(("host", "shown"), [("::1", "[::1]"), ("[::1]", "[::1]"), ("::", "[::]"), ("", "[::]")])
def test_address_is_printed_as_a_url_has_it(host: str, shown: str) -> None:
    """What an edge prints can be pasted into a client, brackets of IPv6 included; a taken port is told the same way."""
    port = free_port()  # the kernel may give an ephemeral port to another connection before the edge has it
    with socket.create_server(("::1", port), family=socket.AF_INET6):
        words = ("edge", "mahavishnu", "--host", host, "--port", str(port), "--insecure-behind-proxy")
        refused = subprocess.run(
            [sys.executable, "-m", "edgebus", *words], capture_output=True, text=True, timeout=30, check=False
        )
    assert (refused.returncode, f"cannot listen on {shown}:{port}: " in refused.stderr) == (1, True), refused.stderr
    edge = subprocess.Popen(
        [sys.executable, "-m", "edgebus", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert edge.stdout is not None
    with edge:
        assert f"listens on ws://{shown}:{port}, " in edge.stdout.readline()
        edge.send_signal(signal.SIGINT)
        edge.stdout.read()
        assert edge.wait(30) == 0
