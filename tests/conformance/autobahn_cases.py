"""Run Autobahn's case library against a port: ``python autobahn_cases.py WHEEL PORT``, one JSON line per case.

This runs in an environment of its own, which holds the ``autobahn`` package and nothing of edgebus. The cases are
Python 2 in a wheel that nobody can install; they are read as text, adapted in a few names, and not kept.
Their texts are bytes: read as Latin-1, every byte stays one character, and is made a byte again at the socket.
"""

# ruff: noqa: N802, N803, N815 # what the library and its base class call these

import asyncio
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import re
import sys
import time
import types
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from autobahn.asyncio.websocket import (  # type: ignore[import-not-found] # in the other environment
    WebSocketClientFactory,
    WebSocketClientProtocol,
)

AT_ONCE: Final = 16
"""Cases under way at the same time: most of them wait for a second."""
HEAVY: Final = ("9.",)
"""Cases that would keep the others from noticing their seconds; they have minutes, and come last."""
HEAVY_AT_ONCE: Final = 6
CASE_S: Final = 100
"""After which a case has failed."""
FOLDER: Final = "autobahntestsuite/case"
LIST: Final = "case_list"
"""Name for the package's own file; ``case`` is the module with the base class, as it was in Python 2."""

ADAPTED: Final = (
    (r"^(\s*)print\b.*$", r"\1pass"),
    (r"\bxrange\(", "range("),
    (r"\(object, Case, \)", "(Case, )"),  # Python 3 finds no order for these bases
    (r"binascii\.b2a_hex\(", "repr("),  # for descriptions only
    (r"pickle\.dumps\(obj(\d)\)", r"obj\1"),  # equal values need not be pickled alike
    (r"(\.validate\(\w+\[:i\])\)", r'\1.encode("latin-1"))'),
    (r"(len\(self\.payload\)) / ", r"\1 // "),
    (r"requestNoContextTakeover", "request_no_context_takeover"),  # as Autobahn spells it now
    (r"requestMaxWindowBits", "request_max_window_bits"),
    (r"^from case9_9_1 import .*$", ""),  # asks for Twisted, and is on no list
)


def adapted(text: str) -> str:
    """Return a module of the library in Python 3."""
    for pattern, replacement in ADAPTED:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text


class Library(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the library's modules by the names they call each other."""

    def __init__(self, root: Path) -> None:
        self._root = root / FOLDER

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        file = self._root / ("__init__.py" if name == LIST else f"{name}.py")
        return importlib.util.spec_from_loader(name, self, origin=str(file)) if file.is_file() else None

    def exec_module(self, module: types.ModuleType) -> None:
        assert module.__spec__ is not None
        origin = Path(str(module.__spec__.origin))
        exec(compile(adapted(origin.read_text("latin-1")), origin, "exec"), vars(module))  # noqa: S102 # that is the job


def cases_of(root: Path) -> dict[str, Any]:
    """Return the classes of the cases on the library's list, by id such as ``6.22.3``."""
    sys.meta_path.append(Library(root))
    resources = types.ModuleType("pkg_resources")
    vars(resources)["resource_filename"] = lambda package, name: os.fspath(root / package / name)
    sys.modules["pkg_resources"] = resources
    listed = importlib.import_module(LIST).Cases
    return {case.__name__.removeprefix("Case").replace("_", "."): case for case in listed}


def octets(text: str | bytes | None) -> bytes | None:
    return text.encode("latin-1") if isinstance(text, str) else text


class Peer(WebSocketClientProtocol):  # type: ignore[misc] # its base is unknown here
    """What a case calls ``self.p``: a client that can be told to do wrong, with texts for bytes."""

    createWirelog = connectionWasOpen = False
    logFrames = True

    def __init__(self, case: Any) -> None:
        super().__init__()
        self.make_case = case
        self.lost = asyncio.get_running_loop().create_future()
        self.txFrameStats: Counter[int] = Counter()

    def connection_made(self, transport: Any) -> None:
        self.case = self.make_case(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Any) -> None:
        super().connection_lost(exc)
        self.case.onConnectionLost(self.failedByMe)
        if not self.lost.done():
            self.lost.set_result(None)

    def onOpen(self) -> None:
        self.connectionWasOpen = True
        self.case.onOpen()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.case.onMessage(payload.decode("latin-1"), isBinary)

    def onPong(self, payload: bytes) -> None:
        self.case.onPong(payload.decode("latin-1"))

    def sendFrame(self, opcode: int, payload: str | bytes = b"", **options: Any) -> None:
        super().sendFrame(opcode, octets(payload), **options)

    def sendMessage(self, payload: str | bytes, isBinary: bool = False, **options: Any) -> None:
        super().sendMessage(octets(payload), isBinary, **options)

    def sendMessageFrameData(self, payload: str | bytes, sync: bool = False) -> Any:
        return super().sendMessageFrameData(octets(payload), sync)

    def sendCloseFrame(
        self, code: int | None = None, reasonUtf8: str | bytes | None = None, isReply: bool = False
    ) -> None:
        super().sendCloseFrame(code, octets(reasonUtf8), isReply)

    def logTxFrame(self, frameHeader: Any, *_: Any) -> None:
        self.txFrameStats[frameHeader.opcode] += 1

    def logRxFrame(self, *_: Any) -> None: ...

    def enableWirelog(self, enable: bool) -> None: ...

    def continueLater(self, delay: float, function: Any, tag: Any = None) -> None:
        asyncio.get_running_loop().call_later(delay, lambda: self.state != self.STATE_CLOSED and function())

    def killAfter(self, delay: float) -> None:
        self.continueLater(delay, self._fail_connection)

    def closeAfter(self, delay: float) -> None:
        self.continueLater(delay, self.sendClose)


async def run(name: str, case: Any, port: int) -> dict[str, Any]:
    """Run one case; return what it found."""
    factory = WebSocketClientFactory(f"ws://127.0.0.1:{port}")
    factory.setProtocolOptions(failByDrop=False, openHandshakeTimeout=0)
    factory.setProtocolOptions(closeHandshakeTimeout=0, serverConnectionDropTimeout=0)  # ours is CASE_S
    factory.protocol = lambda: Peer(case)
    began = time.monotonic()
    _, peer = await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port)
    await asyncio.wait([peer.lost], timeout=CASE_S)
    peer.dropConnection(abort=True)
    found = peer.case
    return {
        "id": name,
        "behaviour": found.behavior,
        "close": found.behaviorClose,
        "code": peer.remoteCloseCode,
        "result": found.result if found.behavior != "OK" else found.resultClose,
        "seconds": round(time.monotonic() - began, 2),
    }


async def run_all(cases: dict[str, Any], port: int, at_once: int) -> None:
    places = asyncio.Semaphore(at_once)

    async def run_one(name: str) -> None:
        async with places:
            print(json.dumps(await run(name, cases[name], port)), flush=True)

    await asyncio.gather(*(run_one(name) for name in cases))


async def main(wheel: str, port: str, only: Sequence[str]) -> None:
    with TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        cases = {name: case for name, case in cases_of(Path(folder)).items() if name.startswith(tuple(only) or "")}
        heavy = {name: case for name, case in cases.items() if name.startswith(HEAVY)}
        await run_all({name: case for name, case in cases.items() if name not in heavy}, int(port), AT_ONCE)
        await run_all(heavy, int(port), HEAVY_AT_ONCE)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
