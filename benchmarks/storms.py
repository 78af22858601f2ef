"""Clients that come over TLS; clients without TLS come in ``crowds``."""

import subprocess
import sys
from contextlib import ExitStack

from benchmarks.crowds import STORM_SHAPE, guarded
from benchmarks.peer import BUILD, Tls
from benchmarks.results import Sample
from benchmarks.session import Session, say
from benchmarks.stand import Stand

__all__ = ["certificate", "tls_storm"]


def certificate() -> Tls:
    """Return a certificate for 127.0.0.1 with the key, made once, by ``edgebus cert``."""
    folder = BUILD / "certificate"
    if not folder.exists():
        command = [sys.executable, "-m", "edgebus", "cert", "--dev", "--dir", str(folder)]
        subprocess.run(command, check=True, capture_output=True)
    return Tls(folder / "edgebus-cert.pem", folder / "edgebus-key.pem")


def tls_storm(session: Session) -> None:
    """Let clients in over TLS, each with a whole handshake, server after server."""
    shape = session.length.shapes[STORM_SHAPE]
    title = f"the same over TLS, {shape.clients:,} clients"
    row = session.result.row("wss", title, "us of CPU", is_more_better=False)
    pair = certificate()
    for peer in session.peers:
        if not peer.has_tls:
            say(f"{peer.name} has no TLS")
            continue
        with guarded(session, row.name, peer.name), ExitStack() as stack:
            stand = Stand.start(stack, peer, session.cores, tls=pair)
            stand.settle()  # what a server loads once it listens is no price of a client
            stand.fill(shape)
            row.add(peer.name, Sample(stand.connect_cpu_s / shape.clients * 1e6, 0, stand.connects))
            for _ in range(session.length.storms - 1):
                turn = stand.come_again()
                row.add(peer.name, Sample.of(turn, turn.cpu_s / shape.clients * 1e6))
