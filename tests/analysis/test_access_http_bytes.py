"""Bytes over HTTP against a server that fails as planned: what was asked for comes, or one clear error."""

from __future__ import annotations

import functools
import multiprocessing
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import pytest
from range_server import Answer, Fault, RangeServer, Request

from nwbswitch.analysis.access import http_bytes
from nwbswitch.analysis.access.byte_ranges import PIECE_BYTES
from nwbswitch.analysis.access.http_bytes import HttpBytes
from nwbswitch.analysis.access.http_limits import HttpLimits
from nwbswitch.analysis.access.http_route import Location
from nwbswitch.schemas.errors import InputFileError

DATA = os.urandom(1 << 20) * 3
OTHER = os.urandom(1 << 20) * 3
QUICK = HttpLimits(pause_s=0.01, patience_s=5.0, silence_s=0.5, connect_s=1.0)


@pytest.fixture
def server() -> Iterator[RangeServer]:
    with RangeServer() as running:
        yield running


def always(url: str, renew: bool) -> Location:
    return Location(url)


def opened(url: str, **options: object) -> HttpBytes:
    return HttpBytes(functools.partial(always, url), name="a.nwb", limits=QUICK, **options)


def spread(number: int = 40, length: int = 1000) -> list[tuple[int, int]]:
    """Return ranges that are too far apart to be asked for together."""
    step = (len(DATA) - length) // (number - 1)
    return [(each * step, length) for each in range(number)]


def expected(ranges: list[tuple[int, int]], data: bytes = DATA) -> list[bytes]:
    return [data[offset : offset + length] for offset, length in ranges]


# ---- what goes well ---------------------------------------------------------------------------------------


def test_ranges_come_in_the_order_in_which_they_were_asked_for(server: RangeServer) -> None:
    source = opened(server.add("a", DATA), size=len(DATA))
    ranges = [*reversed(spread()), (5, 0), (0, len(DATA)), (len(DATA), 0), (7, 3), (8, 3)]
    assert source.read_many(ranges) == expected(ranges)
    assert source.read(10, 20) == DATA[10:30]


def test_neighbours_share_a_request_and_what_lies_between_is_counted(server: RangeServer) -> None:
    source = opened(server.add("a", DATA), size=len(DATA))
    ranges = [(0, 100), (200, 100), (150, 100), (1000, 100), (1_000_000, 50)]
    assert source.read_many(ranges) == expected(ranges)
    assert server.n_requests == source.statistics.n_requests == 2
    assert server.n_bytes == source.statistics.n_bytes == 1100 + 50
    assert source.statistics.n_wasted_bytes == 1100 - 100 - 150 - 100


def test_large_ranges_are_split_over_connections(
    server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.latency_s = 0.05
    data = os.urandom(5 * PIECE_BYTES // 2)
    source = opened(server.add("a", data), size=len(data))
    assert source.read(1, len(data) - 1) == data[1:]
    assert server.n_requests == 3
    assert server.most_at_once == 3


def test_requests_are_under_way_together_up_to_the_limit(server: RangeServer) -> None:
    server.latency_s = 0.05
    url = server.add("a", DATA)
    limits = HttpLimits(at_once=5)
    source = HttpBytes(lambda renew: Location(url), name="a", size=len(DATA), limits=limits)
    others = [HttpBytes(lambda renew: Location(url), name="a", limits=limits) for _ in range(4)]
    with ThreadPoolExecutor(5) as threads:
        jobs = [threads.submit(each.read_many, spread(20)) for each in (source, *others)]
        for job in jobs:
            assert job.result() == expected(spread(20))
    assert server.most_at_once == 5


def test_requests_to_one_host_keep_their_distance(server: RangeServer) -> None:
    url = server.add("a", DATA)
    limits = HttpLimits(interval_s=0.02)
    source = HttpBytes(lambda renew: Location(url), name="a", size=len(DATA), limits=limits)
    began = time.monotonic()
    source.read_many(spread(11))
    assert time.monotonic() - began >= 0.2


def test_the_length_is_learnt_with_the_first_bytes(server: RangeServer) -> None:
    source = opened(server.add("a", DATA))
    assert source.size == len(DATA)
    assert source.read(0, 1000) == DATA[:1000]
    assert source.version == server.etag("a").strip('"')
    assert server.n_requests == 1
    assert source.read_many([(0, 10), (1 << 20, 10)]) == expected([(0, 10), (1 << 20, 10)])
    assert server.n_requests == 2


def test_the_version_is_asked_for_once(server: RangeServer) -> None:
    for size in (None, len(DATA)):
        server.clear()
        source = opened(server.add("a", DATA), size=size)
        assert source.version == source.version == server.etag("a").strip('"')
        assert server.n_requests == 1
    assert opened(server.add("empty", b"")).size == 0


def test_a_location_states_length_and_version(server: RangeServer) -> None:
    url = server.add("a", DATA)
    etag = server.etag("a").strip('"')
    source = HttpBytes(lambda renew: Location(url, size=len(DATA), etag=etag), name="a", limits=QUICK)
    assert source.size == len(DATA)
    assert server.n_requests == 0
    assert source.read(3, 4) == DATA[3:7]
    for wrong in (Location(url, size=len(DATA) + 1), Location(url, etag="something else")):
        refused = HttpBytes(lambda renew, wrong=wrong: wrong, name="a", limits=QUICK)
        with pytest.raises(InputFileError, match="not the version that was listed"):
            refused.read(3, 4)


def test_empty_and_tiny_files(server: RangeServer) -> None:
    empty, tiny = opened(server.add("empty", b"")), opened(server.add("tiny", b"abc"))
    assert (empty.size, tiny.size) == (0, 3)
    assert tiny.read(1, 2) == b"bc"
    for source, end in ((empty, 1), (tiny, 4)):
        with pytest.raises(InputFileError, match="ends early"):
            source.read(0, end)


def test_files_without_an_etag_are_known_by_their_date() -> None:
    with RangeServer(validators=("last-modified",)) as server:
        source = opened(server.add("a", DATA))
        assert source.read(len(DATA) - 9, 9) == DATA[-9:]
        assert source.version.endswith("GMT")


def test_a_source_is_known_in_other_processes(server: RangeServer) -> None:
    source = opened(server.add("a", DATA), size=len(DATA))
    source.read_many(spread(20))
    again = pickle.loads(pickle.dumps(source))
    assert again.read_many(spread(20)) == expected(spread(20))
    assert again.statistics.n_requests == 20
    for kind in ("fork", "spawn"):
        with multiprocessing.get_context(kind).Pool(1) as pool:
            assert pool.apply(source.read_many, (spread(20),)) == expected(spread(20))
    server.replace("a", OTHER)
    with pytest.raises(InputFileError, match="changed"):
        pickle.loads(pickle.dumps(source)).read(0, 10)


# ---- what passes ------------------------------------------------------------------------------------------

PASSING: dict[str, Fault] = {
    "500": Fault.status(500),
    "502": Fault.status(502),
    "503": Fault.status(503),
    "504": Fault.status(504),
    "429": Fault.status(429),
    "429 later": Fault.status(429, retry_after=0.1),
    "truncated": Fault.truncated(100),
    "truncated at once": Fault.truncated(0),
    "reset": Fault.reset(),
    "stalled": Fault.stalled(0.7),
    "short": Fault.short_range(),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_passing_troubles_are_tried_again(server: RangeServer, fault: Fault) -> None:
    source = opened(server.add("a", DATA), size=len(DATA))
    server.plan(fault, fault)
    assert source.read_many(spread(4)) == expected(spread(4))
    assert source.statistics.n_retries == 2
    assert server.n_requests == 6


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_troubles_that_stay_are_one_clear_error(server: RangeServer, fault: Fault) -> None:
    limits = HttpLimits(pause_s=0.001, tries=3, silence_s=0.1)
    url = server.add("a", DATA)
    source = HttpBytes(lambda renew: Location(url), name="sub-1.nwb", size=len(DATA), limits=limits)
    server.plan(*[fault] * 3)
    with pytest.raises(InputFileError, match=r"^sub-1\.nwb: could not be read: .*tried 3 times") as raised:
        source.read(0, 1000)
    assert "127.0.0.1" not in str(raised.value)
    assert source.read(0, 1000) == DATA[:1000]


def test_the_server_says_when_to_come_again(server: RangeServer) -> None:
    source = opened(server.add("a", DATA), size=len(DATA))
    server.plan(Fault.status(429, retry_after=1))
    began = time.monotonic()
    assert source.read(0, 9) == DATA[:9]
    assert 1.0 <= time.monotonic() - began < 2.0
    server.plan(Fault.status(503, retry_after=formatdate(time.time() + 2, usegmt=True)))
    began = time.monotonic()
    assert source.read(0, 9) == DATA[:9]
    assert 0.5 <= time.monotonic() - began < 3.0


def test_other_requests_wait_too_when_the_server_wants_rest(server: RangeServer) -> None:
    url = server.add("a", DATA)
    limits = HttpLimits(at_once=2)
    source = HttpBytes(lambda renew: Location(url), name="a", size=len(DATA), limits=limits)
    server.plan(Fault.status(429, retry_after=1))
    began = time.monotonic()
    assert source.read_many(spread(6)) == expected(spread(6))
    assert time.monotonic() - began >= 1.0
    assert server.n_requests == 7


@pytest.mark.parametrize("wish", ["3600", formatdate(time.time() + 3600, usegmt=True)], ids=["s", "date"])
def test_nobody_waits_for_an_hour(server: RangeServer, wish: str) -> None:
    source = opened(server.add("a", DATA), size=len(DATA))
    server.plan(Fault.status(429, retry_after=wish))
    began = time.monotonic()
    with pytest.raises(InputFileError, match=r"answers 429 .* Try again in 3[56]\d\d s"):
        source.read(0, 9)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("wish", ["soon", "-5", "nan", "1e400"])
def test_odd_wishes_do_not_break_anything(server: RangeServer, wish: str) -> None:
    source = opened(server.add("a", DATA), size=len(DATA))
    server.plan(Fault.status(503, retry_after=wish))
    if wish == "1e400":
        with pytest.raises(InputFileError, match="answers 503"):
            source.read(0, 9)
    else:
        assert source.read(0, 9) == DATA[:9]


def test_slow_answers_come_and_all_too_slow_ones_are_given_up(server: RangeServer) -> None:
    source = opened(server.add("a", DATA), size=len(DATA))
    server.plan(Fault.slow(20_000))
    assert source.read(0, 10_000) == DATA[:10_000]
    assert source.statistics.n_retries == 0
    server.plan(Fault.slow(2_000))
    assert source.read(0, 10_000) == DATA[:10_000]
    assert source.statistics.n_retries == 1


def test_a_server_that_is_not_there() -> None:
    with RangeServer() as server:
        url = server.add("a", DATA)
    limits = HttpLimits(pause_s=0.001, tries=2)
    source = HttpBytes(lambda renew: Location(url), name="a.nwb", limits=limits)
    with pytest.raises(InputFileError, match="cannot be reached"):
        source.read(0, 10)


def test_closing_ends_waiting(server: RangeServer) -> None:
    url = server.add("a", DATA)
    limits = HttpLimits(pause_s=60, patience_s=600)
    source = HttpBytes(lambda renew: Location(url), name="a.nwb", size=len(DATA), limits=limits)
    server.plan(*[Fault.status(500)] * 50)
    timer = threading.Timer(0.2, source.close)
    timer.start()
    began = time.monotonic()
    with pytest.raises(InputFileError, match="answers 500"):
        source.read_many(spread(5))
    assert time.monotonic() - began < 2


# ---- what never comes out ---------------------------------------------------------------------------------

LIES: dict[str, tuple[Fault, str]] = {
    "shifted": (Fault.shifted(), "other bytes than those that were asked for"),
    "other total": (Fault.other_total(), "changed while it was read"),
    "encoded": (Fault.encoded(), "sent encoded"),
    "no version": (Fault.no_version(), "does not say which version"),
    "other version": (Fault.other_version(), "changed while it was read"),
    "teapot": (Fault.status(418), "the server answers 418"),
}


@pytest.mark.parametrize(("fault", "words"), LIES.values(), ids=LIES)
def test_answers_that_cannot_be_right_are_refused(server: RangeServer, fault: Fault, words: str) -> None:
    source = opened(server.add("a", DATA), size=len(DATA))
    source.read(0, 10)
    server.plan(fault)
    with pytest.raises(InputFileError, match=words):
        source.read(1 << 20, 10)
    assert server.n_requests == 2


@pytest.mark.parametrize("number", [2, 5, 20])
def test_a_file_that_changes_in_mid_read_is_never_mixed(server: RangeServer, number: int) -> None:
    source = opened(server.add("a", DATA), size=len(DATA))
    server.at_request(number, lambda: server.replace("a", OTHER))
    with pytest.raises(InputFileError, match="changed while it was read"):
        source.read_many(spread(20))


def test_a_change_between_reads_is_found_without_a_body(server: RangeServer) -> None:
    source = opened(server.add("a", DATA), size=len(DATA))
    source.read(0, 10)
    server.replace("a", OTHER)
    with pytest.raises(InputFileError, match="changed while it was read"):
        source.read(0, 10)
    assert server.log[-1].status == 412
    assert server.n_bytes == 10


def test_a_change_behind_a_new_address_is_found(server: RangeServer) -> None:
    source = opened(server.add_signed("a", DATA, uses=3), size=len(DATA))
    source.read(0, 10)
    server.replace("a", OTHER)
    server.expire()
    with pytest.raises(InputFileError, match="changed while it was read"):
        source.read(0, 10)


def test_servers_without_ranges_are_refused_unless_the_file_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    with RangeServer(ranges=False) as server:
        url = server.add("a", DATA)
        for size in (None, len(DATA)):
            source = opened(url, size=size)
            assert source.read_many(spread(3)) == expected(spread(3))
            assert source.read_many(spread(30)) == expected(spread(30))
        monkeypatch.setattr(http_bytes, "WHOLE_BYTES", len(DATA) - 1)
        with pytest.raises(InputFileError, match=r"does not send parts of files\. Download"):
            opened(url).read(0, 10)


def test_one_answer_with_the_whole_of_a_large_file_is_refused(
    server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_bytes, "WHOLE_BYTES", 1000)
    source = opened(server.add("a", DATA), size=len(DATA))
    server.plan(Fault.whole())
    with pytest.raises(InputFileError, match="does not send parts of files"):
        source.read(5, 10)


def test_servers_without_versions_are_refused() -> None:
    with (
        RangeServer(validators=()) as server,
        pytest.raises(InputFileError, match=r"does not say which version it sends\. Download"),
    ):
        opened(server.add("a", DATA)).read(0, 10)


def test_more_bytes_than_asked_for_are_refused(server: RangeServer) -> None:
    def answer(request: Request) -> Answer:
        return Answer(206, b"x" * 20, {"Content-Range": "bytes 0-9/100", "ETag": '"e"'})

    server.route("/long", answer)
    with pytest.raises(InputFileError, match="more bytes than were asked for"):
        opened(f"{server.url}/long", size=100).read(0, 10)


@pytest.mark.parametrize(
    "stated", ["", "bytes 0-9/*", "bytes 9-0/100", "bytes 0-9/5", "items 0-9/100", "bytes 0-" + "9" * 5000]
)
def test_answers_that_do_not_say_which_bytes_they_hold_are_refused(server: RangeServer, stated: str) -> None:
    headers = {"ETag": '"e"'} | ({"Content-Range": stated} if stated else {})
    server.route("/odd", lambda request: Answer(206, b"x" * 10, headers))
    with pytest.raises(InputFileError, match="which bytes|impossible"):
        opened(f"{server.url}/odd", size=100).read(0, 10)


# ---- addresses and keys -----------------------------------------------------------------------------------


def test_addresses_that_expire_are_looked_up_anew(server: RangeServer) -> None:
    asked: list[bool] = []
    url = server.add_signed("a", DATA, uses=7)

    def locate(renew: bool) -> Location:
        asked.append(renew)
        return Location(url)

    source = HttpBytes(locate, name="a", size=len(DATA), limits=QUICK)
    for _ in range(3):
        ranges = spread(9)
        for each in ranges:
            assert source.read(*each) == DATA[each[0] : sum(each)]
    assert asked == [False, True, True, True]
    redirects = [each for each in server.log if each.status == 302]
    assert len(redirects) == 4


def test_many_threads_share_a_new_address(server: RangeServer) -> None:
    source = opened(server.add_signed("a", DATA), size=len(DATA))
    source.read(0, 10)
    server.expire()
    server.latency_s = 0.02
    assert source.read_many(spread()) == expected(spread())
    assert sum(each.status == 302 for each in server.log) <= 3 + 16


def test_signed_addresses_from_the_archive_itself_are_renewed(server: RangeServer) -> None:
    server.add_signed("a", DATA, uses=5)
    source = HttpBytes(lambda renew: Location(server.sign("a")), name="a", size=len(DATA), limits=QUICK)
    for number in range(12):
        assert source.read(number, 5) == DATA[number : number + 5]


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "may not be read"), (403, "needs a key"), (404, "is not there"), (410, "is not there")],
)
def test_denied_is_said_soon(server: RangeServer, status: int, words: str) -> None:
    source = opened(server.add("a", DATA), size=len(DATA))
    server.plan(*[Fault.status(status)] * 3)
    began = time.monotonic()
    with pytest.raises(InputFileError, match=words):
        source.read(0, 10)
    assert time.monotonic() - began < 1
    assert source.read(0, 10) == DATA[:10]


def test_keys_go_to_no_other_host(server: RangeServer) -> None:
    key = {"Authorization": "token secret"}
    with RangeServer(host="localhost") as storage:
        storage.add("a", DATA)
        target = f"{storage.url}/files/a"
        server.route("/asset", lambda request: Answer(302, b"", {"Location": target}))
        source = HttpBytes(lambda renew: Location(f"{server.url}/asset", key), name="a", limits=QUICK)
        assert source.read_many(spread()) == expected(spread())
        assert all(each.request.headers["authorization"] == "token secret" for each in server.log)
        assert storage.n_requests > 10
        assert all("authorization" not in each.request.headers for each in storage.log)
        assert server.n_requests == 1


def test_keys_are_sent_with_every_request_to_their_own_host(server: RangeServer) -> None:
    url = server.add("a", DATA)
    source = HttpBytes(lambda renew: Location(url, {"X-Key": "secret"}), name="a", limits=QUICK)
    source.read_many(spread())
    assert all(each.request.headers["x-key"] == "secret" for each in server.log)


def test_another_port_is_another_host(server: RangeServer) -> None:
    with RangeServer() as other:
        other.add("a", DATA)
        server.route("/asset", lambda request: Answer(307, b"", {"Location": f"{other.url}/files/a"}))
        source = HttpBytes(lambda renew: Location(f"{server.url}/asset", {"X-Key": "s"}), name="a")
        assert source.read(0, 5) == DATA[:5]
        assert all("x-key" not in each.request.headers for each in other.log)


def test_keys_and_signatures_stand_in_no_message(server: RangeServer) -> None:
    url = server.add_signed("a", DATA)
    location = Location(url + "?signature=abc", {"Authorization": "token secret"})
    server.plan(*[Fault.status(403)] * 9)
    with pytest.raises(InputFileError) as raised:
        HttpBytes(lambda renew: location, name="a", limits=QUICK).read(0, 5)
    for said in (repr(location), str(raised.value)):
        assert "secret" not in said
        assert "signature" not in said


REDIRECTS: dict[str, tuple[Callable[[str], str], str]] = {
    "circle": (lambda url: f"{url}/asset", "redirected more than 5 times"),
    "nowhere": (lambda url: "", "redirected to nowhere"),
    "file": (lambda url: "file:///etc/passwd", "not an address of http or https"),
    "mail": (lambda url: "mailto:a@b", "not an address of http or https"),
    "odd port": (lambda url: "http://localhost:99999/x", "its address is"),
}


@pytest.mark.parametrize(("target", "words"), REDIRECTS.values(), ids=REDIRECTS)
def test_redirects_that_lead_astray(server: RangeServer, target: Callable[[str], str], words: str) -> None:
    headers = {"Location": target(server.url)}
    server.route("/asset", lambda request: Answer(302, b"", headers))
    with pytest.raises(InputFileError, match=words):
        opened(f"{server.url}/asset").read(0, 5)


@pytest.mark.parametrize("url", ["", "ftp://a/b", "/etc/passwd", "http://", "http://[::1", "http://a:b/"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(InputFileError, match="its address is"):
        opened(url).read(0, 5)


def test_numbers_that_are_no_ranges(server: RangeServer) -> None:
    source = opened(server.add("a", DATA), size=len(DATA))
    for offset, length in ((-1, 5), (5, -1)):
        with pytest.raises(ValueError, match="byte range"):
            source.read(offset, length)
    with pytest.raises(InputFileError, match=r"ends early: bytes 3145720 to 3145740 are needed"):
        source.read(len(DATA) - 8, 20)
    assert server.n_requests == 0
