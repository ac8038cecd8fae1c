"""Connections that hang up on servers whose answers do not begin: heads come byte by byte, without end."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from functools import cache
from typing import Any

BEGIN_S = 120.0
"""Longest time until the head of an answer is complete, however lively it comes."""


def hang_up_late(manager: Any) -> Any:
    """Let a pool manager of urllib3 open connections with that limit; return it.

    The library has limits for silence only, which a server that sends a byte now and then never meets.
    """
    manager.pool_classes_by_scheme = _pools()
    return manager


@cache
def _pools() -> dict[str, Any]:
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

    def timed(kind: Any, pool: Any) -> Any:
        class Connection(kind):  # type: ignore[misc]
            def getresponse(self) -> Any:
                is_late = threading.Event()
                timer = threading.Timer(BEGIN_S, _hang_up, (self.sock, is_late))
                timer.daemon = True
                timer.start()
                try:
                    found = super().getresponse()
                finally:
                    timer.cancel()
                if is_late.is_set():  # a head that breaks off is taken for a short one
                    raise TimeoutError("the head of the answer does not end")
                return found

        return type(pool.__name__, (pool,), {"ConnectionCls": Connection})

    return {
        "http": timed(HTTPConnection, HTTPConnectionPool),
        "https": timed(HTTPSConnection, HTTPSConnectionPool),
    }


def _hang_up(connected: socket.socket | None, is_late: threading.Event) -> None:
    """End both directions, which wakes whoever waits for the next byte."""
    is_late.set()
    if connected is not None:
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)
