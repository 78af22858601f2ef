"""``edgebus acl``: users for Redis. The users' lines go to standard output, the passwords to standard error."""

# decisions/0028: so `edgebus acl | redis-cli` works, and stores no password. A password as an argument would stand in
# `ps` and in the shell's history; a hash may.

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from bus.errors import AclError
from bus.log.appending import KEYED_LIBRARY, LIBRARY, ONCE_LIBRARY
from bus.redis.acl import Role, parse_hash, users
from bus.redis.address import with_login, without_password
from bus.service import Service
from edgebus.terminal import note, show

__all__ = ["read_hashes", "show_users"]

_PASSWORD_BYTES: Final = 32


def _quoted(text: str) -> str:
    """Return ``text`` quoted for one line of redis-cli."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def read_hashes(texts: Sequence[str]) -> dict[Role, str]:
    """Return the hashes of existing passwords, by role.

    Raises:
        AclError: a text is not ``ROLE=SHA256``, or a role is named twice.

    """
    pairs = [parse_hash(text) for text in texts]
    hashes = dict(pairs)
    if len(hashes) < len(pairs):
        raise AclError("two hashes for one role: give each role one")
    return hashes


def show_users(
    services: Sequence[Service],
    *,
    narrowed: bool,
    by_function: bool,
    hashes: Mapping[Role, str],
    url: str,
    as_file: bool,
) -> None:
    """Print a line per user; beside the output, the URLs with passwords made here, which are not kept.

    Args:
        services: the users reach the channels of these services.
        narrowed: there is one service, and the users carry the service's name.
        by_function: a first line loads the producers' function, and producers may load no script.
        hashes: of existing passwords, by role.
        url: of Redis, in the users' form.
        as_file: the lines are for an ACL file, where no line can load a function.

    """
    # decisions/0056: scripts are gone after a restart, and a replica that takes over never had them. Functions are kept
    # with the data and replicated.
    if by_function and as_file:
        note("first load what producers call: edgebus acl --function | grep ^FUNCTION | redis-cli")
    elif by_function:
        show(f"FUNCTION LOAD REPLACE {_quoted(LIBRARY)}")
        if any(family.keyed is not None for service in services for family in service.families):
            show(f"FUNCTION LOAD REPLACE {_quoted(KEYED_LIBRARY)}")
        if any(service.client_events for service in services):
            show(f"FUNCTION LOAD REPLACE {_quoted(ONCE_LIBRARY)}")
    for user in users(services, narrowed=narrowed, by_function=by_function):
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        digest = hashes.get(user.role) or hashlib.sha256(password.encode()).hexdigest()
        show(user.entry(digest) if as_file else user.command(digest))
        if user.role in hashes:
            note(f"{user.role}: {user.name}, its password is the one you hashed")
        else:
            note(f"{user.role}: EDGEBUS_REDIS_URL={with_login(url, user.name, password)}")
    note(
        f"Once all of them work, and an administrator of yours too, at {without_password(url)}: ACL SETUSER default off"
    )
