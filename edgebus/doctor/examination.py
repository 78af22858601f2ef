"""An examination: facts are gathered, then judged."""

import platform
import time

from bus.envelope import LINE_LIMIT_BYTES
from bus.errors import BusError
from bus.redis import address
from bus.redis.failures import converted
from bus.redis.sentinel import parse_sentinel_url
from edgebus.doctor.checks import judge
from edgebus.doctor.edges import look_at_edges
from edgebus.doctor.facts import Facts
from edgebus.doctor.finding import Report, fail
from edgebus.doctor.loop import run_loop
from edgebus.doctor.replicas import look_at_replicas, look_at_sentinels
from edgebus.doctor.servers import certificate_end, look

__all__ = ["examine", "gather"]


async def examine(url: str) -> Report:
    """Look at the Redis at ``url``, at replicas and at edges, and judge; nothing is changed.

    A Redis out of reach is a finding, too. A second or two; at most some ten where servers do not answer.

    Raises:
        AddressError: the URL cannot be used.

    """
    address.check_url(url)  # a mistyped URL is the caller's error, and no finding
    try:
        facts = await gather(url)
    except BusError as error:
        return Report((fail("reach", str(error), *_remedy(url)),), is_reached=False)
    return Report(tuple(judge(facts)))


async def gather(url: str) -> Facts:
    """Return the facts.

    Raises:
        BusError: Redis cannot be reached, or refuses the log-in.

    """
    sentinels = parse_sentinel_url(url)
    words = await look_at_sentinels(sentinels)
    # From here on by the primary's own address: in a failover the answers would else be of two servers.
    primary_url = url
    with converted(url):
        if sentinels is not None:
            primary_url = address.elsewhere(url, *await sentinels.primary())
        ends_s = await certificate_end(primary_url)
    server = await look(primary_url)
    replicas = await look_at_replicas(primary_url, server, words)
    loop = await run_loop(primary_url)
    edges = await look_at_edges(primary_url, time.time() * 1000 + (server.clock_ms or 0))
    return Facts(
        shown=address.without_password(url),
        server=server,
        now_s=time.time(),
        host=platform.node(),
        is_sentinel=sentinels is not None,
        replicas=replicas,
        sentinels=words,
        edges=edges,
        loop=loop,
        certificate_ends_s=ends_s,
        event_limit_bytes=max((edge.max_line_bytes or 0 for edge in edges or ()), default=0) or LINE_LIMIT_BYTES,
    )


def _remedy(url: str) -> tuple[str, ...]:
    """Return the line to start a Redis, for a URL of a port of the same machine."""
    arguments = address.read_url(url)
    here = arguments.get("host") in ("localhost", "127.0.0.1", "::1")
    return (f"edgebus broker --port {arguments['port']}",) if here else ()
