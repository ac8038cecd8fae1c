"""What all far files of one process share: connections, threads that wait for answers, and turns per host."""

from __future__ import annotations

import os
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from nwbswitch.analysis.access.begun_answers import hang_up_late

if TYPE_CHECKING:
    import urllib3

MAX_HOSTS = 32
MAX_KEPT_CONNECTIONS = 64
"""Per host; more than these are closed after their answer."""


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL: a key that is meant for one is never sent to another.

    Raises
    ------
    ValueError
        For a URL that is not of http or https, or names no host.
    """
    parts = urlsplit(url)
    host = parts.hostname
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("not an address of http or https")
    return parts.scheme, host, parts.port or {"http": 80, "https": 443}[parts.scheme]


class Gate:
    """Lets requests to one host pass: so many at a time, so far apart, and none while the host wants rest."""

    def __init__(self, at_once: int, interval_s: float) -> None:
        self._places = threading.BoundedSemaphore(at_once)
        self._interval_s = interval_s
        self._next_s = 0.0
        self._turn = threading.Lock()

    @contextmanager
    def passing(self, stop: threading.Event) -> Iterator[None]:
        """Wait for a place and a turn, or for ``stop``."""
        with self._places:
            while (wait_s := self._wait_s()) > 0 and not stop.wait(wait_s):
                pass
            yield

    def rest(self, seconds: float) -> None:
        """Let no further request pass for a while."""
        with self._turn:
            self._next_s = max(self._next_s, time.monotonic() + seconds)

    def _wait_s(self) -> float:
        with self._turn:
            now_s = time.monotonic()
            if now_s >= self._next_s:
                self._next_s = now_s + self._interval_s
                return 0.0
            return self._next_s - now_s


@dataclass(frozen=True, slots=True)
class _Limits:
    at_once: int
    interval_s: float


class Connections:
    """Connections, threads and gates of this process; a process that was forked off has its own."""

    def __init__(self) -> None:
        self._managers: dict[tuple[str, bool], urllib3.PoolManager] = {}
        self._threads: dict[int, ThreadPoolExecutor] = {}
        self._gates: dict[tuple[tuple[str, str, int], _Limits], Gate] = {}

    def manager(self, url: str) -> urllib3.PoolManager:
        """Return what opens connections to a URL, through the proxy that the environment names for it."""
        key = _proxy(url), origin(url)[0] == "https"
        found = self._managers.get(key)
        return found if found is not None else self._managers.setdefault(key, _manager(*key))

    def threads(self, at_once: int) -> ThreadPoolExecutor:
        """Return the threads that wait for answers; their tasks must not wait for one another."""
        found = self._threads.get(at_once)
        if found is None:
            made = ThreadPoolExecutor(at_once, thread_name_prefix="byte-ranges")
            found = self._threads.setdefault(at_once, made)
        return found

    def gate(self, url: str, *, at_once: int, interval_s: float) -> Gate:
        """Return the gate of the host of a URL."""
        key = origin(url), _Limits(at_once, interval_s)
        found = self._gates.get(key)
        return found if found is not None else self._gates.setdefault(key, Gate(at_once, interval_s))


_OF_PROCESS: dict[int, Connections] = {}


def connections() -> Connections:
    """Return the connections of this process."""
    process = os.getpid()
    found = _OF_PROCESS.get(process)
    return found if found is not None else _OF_PROCESS.setdefault(process, Connections())


def _proxy(url: str) -> str:
    scheme, host, port = origin(url)
    proxies = urllib.request.getproxies()
    if scheme not in proxies or urllib.request.proxy_bypass(f"{host}:{port}"):
        return ""
    proxy = proxies[scheme]
    return proxy if "://" in proxy else f"http://{proxy}"


def _manager(proxy: str, secure: bool) -> urllib3.PoolManager:
    import urllib3

    context = _certificates() if secure or proxy.startswith("https:") else None
    if not proxy:
        plain = urllib3.PoolManager(num_pools=MAX_HOSTS, maxsize=MAX_KEPT_CONNECTIONS, ssl_context=context)
        return cast("urllib3.PoolManager", hang_up_late(plain))
    user = urlsplit(proxy)
    login = f"{unquote(user.username)}:{unquote(user.password or '')}" if user.username else None
    through = urllib3.ProxyManager(
        proxy,
        num_pools=MAX_HOSTS,
        maxsize=MAX_KEPT_CONNECTIONS,
        proxy_headers=urllib3.make_headers(proxy_basic_auth=login) if login else None,
        ssl_context=context,
    )
    return cast("urllib3.PoolManager", hang_up_late(through))


def _certificates() -> ssl.SSLContext:
    """Return the system's certificates, or certifi's for Pythons without them, as python.org's for macOS."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        try:
            import certifi
        except ImportError:
            return context
        context.load_verify_locations(certifi.where())
    return context
