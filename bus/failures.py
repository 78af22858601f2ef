"""What the client library raises, turned into the errors of the bus."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bus import address
from bus.appending import is_passing
from bus.errors import BusError, BusNotReady, BusTimeout, BusUnavailable, LoginRefused

__all__ = ["converted"]


@contextmanager
def converted(url: str) -> Iterator[None]:
    """Convert what goes wrong between us and the Redis at ``url``; the cause is kept."""
    try:
        yield
    except AuthenticationError as error:
        raise LoginRefused(f"Redis refuses the log-in: {error}") from error
    except (RedisTimeoutError, TimeoutError) as error:
        raise BusTimeout(f"Redis at {address.without_password(url)} does not answer") from error
    except (RedisConnectionError, OSError) as error:
        raise BusUnavailable(address.start_line(url)) from error
    except RedisError as error:
        kind = BusNotReady if is_passing(error) else BusError
        raise kind(f"Redis answered with an error: {error}") from error
