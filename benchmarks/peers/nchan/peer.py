"""nginx with Debian's module nchan: subscribers by WebSocket, channels with their last messages in Redis."""

import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Final

from benchmarks.peer import (
    BUILD,
    ROOM,
    ROOMS,
    START_DEADLINE_S,
    NotInstallable,
    Peer,
    Running,
    Tls,
    Wire,
    free_port,
    payload,
    spawned,
    until_listening,
    upgrade,
)
from benchmarks.peers.installing import installed, output, tool
from benchmarks.peers.overheard import overheard

__all__ = ["PEERS"]

_FOLDER: Final = BUILD / "nchan"
_MODULE: Final = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
_PACKAGES: Final = ("nginx", "libnginx-mod-nchan")
_CONFIGURATION: Final = Path(__file__).with_name("nginx.conf")


class Nchan:
    """One process of nginx: a worker without a master."""

    name = "nchan"
    has_tls = True

    def install(self) -> None:
        """Install Debian's packages."""
        _FOLDER.mkdir(parents=True, exist_ok=True)
        if not _MODULE.exists():
            apt = tool("apt-get", f"install {' and '.join(_PACKAGES)} by hand")
            installed(apt, "update", folder=_FOLDER)
            installed(apt, "install", "--yes", "--no-install-recommends", *_PACKAGES, folder=_FOLDER)
        if not _MODULE.exists():
            raise NotInstallable(f"its packages put nothing at {_MODULE}")

    def version(self) -> str:
        """Return the versions of both packages."""
        versions = output("dpkg-query", "--show", "--showformat=${Package} ${Version}\n", *_PACKAGES)
        return ", ".join(versions.splitlines())

    def start(self, stack: ExitStack, core: int, redis_port: int, tls: Tls | None = None) -> Running:
        """Start nginx, and publish once by HTTP to learn which script it runs in Redis, with which arguments."""
        port, publish_port = free_port(), free_port()
        configuration = _FOLDER / f"nginx-{port}.conf"
        configuration.write_text(_filled(port, publish_port, redis_port, tls))
        stack.callback(configuration.unlink)
        nginx = tool("nginx", "install nginx", beside=["/usr/sbin/nginx"])
        pid = spawned(stack, core, [nginx, "-p", _FOLDER, "-c", configuration], log=_FOLDER / "nginx.log")
        until_listening(port)
        with overheard(redis_port) as redis:
            _publish(publish_port)
            return Running((pid,), port, _wire(redis.event()))


def _filled(port: int, publish_port: int, redis_port: int, tls: Tls | None) -> str:
    text = _CONFIGURATION.read_text()
    certificate = "" if tls is None else f"ssl_certificate {tls.certificate}; ssl_certificate_key {tls.key};"
    values = {
        "module": _MODULE,
        "folder": _FOLDER,
        "port": port,
        "publish_port": publish_port,
        "redis_port": redis_port,
        "tls": "" if tls is None else "ssl",
        "certificate": certificate,
    }
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def _publish(port: int) -> None:
    url = f"http://127.0.0.1:{port}/publish/{ROOM.decode()}"
    give_up = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < give_up:
        try:
            with urllib.request.urlopen(url, payload(), timeout=10):
                return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:  # until its connections to Redis are there
                raise
        time.sleep(0.05)
    raise TimeoutError("nchan does not reach Redis")


def _wire(publish: bytes) -> Wire:
    # A client's rooms are in its address. nchan does not say when it has subscribed in Redis: some milliseconds later.
    return Wire(publish=publish, request=upgrade(f"/subscribe/{ROOMS.decode()}"))


PEERS: Final[tuple[Peer, ...]] = (Nchan(),)
