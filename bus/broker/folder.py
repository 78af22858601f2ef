"""The folder of an embedded server: a temporary one, and the claim that keeps a second server out of any."""

import fcntl
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bus.errors import BrokerError

__all__ = ["locked", "temporary_directory"]


class Folder:
    """A new folder that only this user can enter, removed with this object, at the latest when the interpreter exits.

    A forked child would remove ``tempfile.TemporaryDirectory``, too, at its own exit.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="edgebus-broker-"))
        self.remove = weakref.finalize(self, remove_own, self.path, os.getpid())


def remove_own(path: Path, owner_pid: int) -> None:
    """Remove a folder with all its files, in the process that made the folder."""
    if os.getpid() == owner_pid:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """Make a folder that only this user can enter, and remove the folder with all its files."""
    folder = Folder()
    try:
        yield folder.path
    finally:
        folder.remove()


@contextmanager
def locked(directory: Path) -> Iterator[int]:
    """Make ``directory`` if needed and claim the folder; yield the descriptor that carries the claim.

    The claim lasts as long as any process has the descriptor. The server inherits the descriptor, so no stale claim
    can be left, and a server that outlives this process for a moment keeps its own.

    Raises:
        BrokerError: another server has the folder.

    """
    # Neither Redis nor Valkey locks its folder, and two servers would ruin each other's files.
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    claim = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        lock(claim, directory)
        yield claim
    finally:
        os.close(claim)


def lock(claim: int, directory: Path) -> None:
    """Lock the open ``directory``, without waiting for another owner.

    Raises:
        BrokerError: another server has the folder.

    """
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BrokerError(
            f"the folder {directory} is in use by another broker: stop that one, or choose another folder: --dir FOLDER"
        ) from error
