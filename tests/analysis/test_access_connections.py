"""What far files of a process share: proxies, gates, and nothing across a fork."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time

import pytest
from range_server import RangeServer

from nwbswitch.analysis.access import connections as module
from nwbswitch.analysis.access.connections import Connections, Gate, connections, origin
from nwbswitch.analysis.access.http_bytes import HttpBytes
from nwbswitch.analysis.access.http_route import Location


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no connection of another test be used, and no proxy of this machine."""
    monkeypatch.setattr(module, "_OF_PROCESS", {})
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin("https://A.example/x?y") == ("https", "a.example", 443)
    assert origin("http://u:p@a:81/") == ("http", "a", 81)
    assert origin("http://[::1]:8/") == ("http", "::1", 8)
    for wrong in ("", "ftp://a", "//a", "http://", "http://a:x/", "http://a:99999/"):
        with pytest.raises(ValueError, match=r".+"):
            origin(wrong)


@pytest.mark.usefixtures("fresh")
def test_the_proxy_of_the_environment_is_used_and_bypassed(monkeypatch: pytest.MonkeyPatch) -> None:
    with RangeServer() as server, RangeServer() as proxy:
        url = server.add("a", b"from the server")
        proxy.add("a", b"through a proxy")
        monkeypatch.setenv("http_proxy", proxy.url.replace("http://", "http://me:my%20word@"))
        assert HttpBytes(lambda renew: Location(url), name="a").read(0, 15) == b"through a proxy"
        sent = proxy.log[0].request.headers
        assert sent["proxy-authorization"] == "Basic bWU6bXkgd29yZA=="
        assert server.n_requests == 0
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert HttpBytes(lambda renew: Location(url), name="a").read(0, 15) == b"from the server"
        assert "proxy-authorization" not in server.log[0].request.headers


@pytest.mark.usefixtures("fresh")
def test_https_asks_for_certificates() -> None:
    import ssl

    with RangeServer() as server:
        manager = connections().manager("https://127.0.0.1/x")
        context = manager.connection_pool_kw["ssl_context"]
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert context.check_hostname
        assert manager is connections().manager("https://other.example/")
        assert manager is not connections().manager(server.url)


def own(_: int) -> tuple[bool, int]:
    return connections() is module._OF_PROCESS[os.getpid()], id(connections())


@pytest.mark.usefixtures("fresh")
def test_a_process_that_was_forked_off_has_its_own() -> None:
    mine = connections()
    assert connections() is mine
    threads = mine.threads(3)
    assert threads is mine.threads(3)
    assert threads is not mine.threads(4)
    assert threads.submit(int, "5").result() == 5
    with multiprocessing.get_context("fork").Pool(1) as pool:
        is_own, number = pool.apply(own, (0,))
    assert is_own
    assert number != id(mine)


def test_gates_belong_to_a_host() -> None:
    each = Connections()
    gate = each.gate("http://a/x", at_once=2, interval_s=0)
    assert gate is each.gate("http://a:80/y?z", at_once=2, interval_s=0)
    assert gate is not each.gate("https://a/x", at_once=2, interval_s=0)
    assert gate is not each.gate("http://b/x", at_once=2, interval_s=0)


def test_a_gate_lets_so_many_pass_and_rests() -> None:
    gate = Gate(2, 0.0)
    inside: list[int] = []
    most: list[int] = []

    def go() -> None:
        with gate.passing(threading.Event()):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=go) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 2
    gate.rest(0.1)
    began = time.monotonic()
    with gate.passing(threading.Event()):
        assert time.monotonic() - began >= 0.09
    gate.rest(60)
    stopped = threading.Event()
    stopped.set()
    began = time.monotonic()
    with gate.passing(stopped):
        assert time.monotonic() - began < 1
