"""Clients that break the rules are refused one by one; the others notice nothing."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bibd.admin import protocol
from bibd.admin.call import Call, Limits, Responder
from bibd.admin.client import AdminClient
from bibd.errors import BibdError
from tests.admin.fake_daemon import serving
from tests.admin.raw import RawClient, eventually, request
from tests.admin.test_server import Keeper

LINE = Limits().line_bytes


@pytest.fixture
def path(data_dir: Path) -> Path:
    data_dir.mkdir()
    return data_dir / "admin.sock"


@pytest.fixture
def bystander(path: Path) -> Iterator[AdminClient]:
    """A well-behaved client of a running server, which must be served as ever at the end."""
    with serving(path), AdminClient(path) as client:
        client.call("status", timeout=5)
        yield client
        assert client.call("status", timeout=1)["state"] == "ready"


BAD_LINES = [
    (b"garbage\n", protocol.PARSE_ERROR),
    (b"\n", protocol.PARSE_ERROR),
    (b"\x00\x01\x02\xff\n", protocol.PARSE_ERROR),
    (b"[" * 50_000 + b"\n", protocol.PARSE_ERROR),
    (b"GET / HTTP/1.1\r\n", protocol.PARSE_ERROR),
    (b"[]\n", protocol.INVALID_REQUEST),
    (request(method="no"), protocol.METHOD_NOT_FOUND),
    (request(nothing=1), protocol.INVALID_PARAMS),
    (b" " * (LINE - 1) + b"\n", protocol.PARSE_ERROR),
]


@pytest.mark.parametrize(("line", "code"), BAD_LINES, ids=[repr(line[:12]) for line, _ in BAD_LINES])
@pytest.mark.usefixtures("bystander")
def test_a_bad_line_is_refused_and_the_connection_kept(path: Path, line: bytes, code: int) -> None:
    with RawClient(path) as client:
        assert client.code(line) == code
        assert client.ask(request(2))["id"] == 2


@pytest.mark.parametrize(
    "line", [b"x" * (LINE + 1), b"x" * (LINE + 1) + b"\n", b"{" * 5_000_000], ids=["open", "ended", "huge"]
)
@pytest.mark.usefixtures("bystander")
def test_an_oversized_line_is_refused_and_its_connection_closed(path: Path, line: bytes) -> None:
    with RawClient(path) as client:
        with suppress(BrokenPipeError, ConnectionResetError):  # closed before it had sent all
            client.send(line)
        error = client.read()["error"]
        assert error["code"] == protocol.INVALID_REQUEST
        assert str(LINE) in error["message"]
        assert client.closed_by_server()


@pytest.mark.usefixtures("bystander")
def test_an_oversized_line_behind_a_good_one_does_not_spoil_it(path: Path) -> None:
    with RawClient(path) as client:
        client.send(request(1) + b"x" * (LINE + 1))
        assert client.read()["result"]["state"] == "ready"
        assert client.read()["error"]["code"] == protocol.INVALID_REQUEST
        assert client.closed_by_server()


@pytest.mark.usefixtures("bystander")
def test_a_half_line_at_the_end_is_never_executed(path: Path) -> None:
    with RawClient(path) as client:
        client.send(request(1, "shutdown", force=True).strip())
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read()["error"]["code"] == protocol.PARSE_ERROR
        assert client.closed_by_server()


@pytest.mark.usefixtures("bystander")
def test_a_request_may_come_byte_by_byte(path: Path) -> None:
    with RawClient(path) as client:
        for byte in request(9):
            client.send(bytes([byte]))
        assert client.read()["id"] == 9


def test_a_half_sent_line_is_cut_off_in_time_however_it_trickles(path: Path) -> None:
    with serving(path, limits=Limits(stall_seconds=0.2)), RawClient(path) as client, AdminClient(path) as other:
        start = time.monotonic()
        client.sock.settimeout(0.02)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() < start + 5:
                client.send(b"x")
                time.sleep(0.01)
        assert time.monotonic() - start < 2
        assert client.read()["error"]["code"] == protocol.PARSE_ERROR
        assert other.call("status", timeout=1)["state"] == "ready"


def test_an_idle_connection_is_not_stalled(path: Path) -> None:
    with serving(path, limits=Limits(stall_seconds=0.05)), RawClient(path) as client, AdminClient(path) as other:
        assert client.ask(request(1))["id"] == 1
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            other.call("db.ping", timeout=1)
        assert client.ask(request(2))["id"] == 2


def test_who_does_not_read_is_closed_and_costs_no_more_than_its_limit(path: Path) -> None:
    answered: list[int] = []

    def handle(_: Call, responder: Responder) -> None:
        answered.append(1)
        responder.result("x" * 100_000)

    with serving(path, handle, limits=Limits(outgoing_bytes=500_000)), RawClient(path) as client:
        with pytest.raises((BrokenPipeError, ConnectionResetError, TimeoutError)):
            client.sock.settimeout(3)
            while True:
                client.send(request())
        # At most: the kernel's buffer (about 200 kB), ours, and the one that was too much.
        assert len(answered) < 20
        with AdminClient(path) as other:
            assert len(other.call("status", timeout=5)) == 100_000


def test_an_answer_that_nobody_reads_is_dropped_in_time(path: Path) -> None:
    keeper = Keeper()
    with serving(path, keeper, limits=Limits(stall_seconds=0.2)), RawClient(path) as client:
        client.send(request())
        keeper.responder().result("x" * 3_000_000)  # alone it may have any size
        fresh = threading.Event()
        fresh.wait(0.8)
        with pytest.raises(EOFError):
            client.read()


def test_progress_is_dropped_for_those_who_do_not_read(path: Path) -> None:
    keeper = Keeper()
    with serving(path, keeper, limits=Limits(outgoing_bytes=300_000)), RawClient(path) as client:
        client.send(request())
        responder = keeper.responder()
        for step in range(200):
            responder.progress({"step": step, "text": "x" * 20_000})
        responder.result("end")
        messages = [client.read()]
        while "result" not in messages[-1]:
            messages.append(client.read())
        assert messages[-1]["result"] == "end"
        assert 1 <= len(messages) - 1 < 200


def test_more_pending_requests_than_allowed_are_refused_by_id(path: Path) -> None:
    keeper = Keeper()
    with serving(path, keeper, limits=Limits(pending=3)), RawClient(path) as client:
        client.send(b"".join(request(number) for number in range(5)))
        for number in (3, 4):
            message = client.read()
            assert (message["id"], message["error"]["code"]) == (number, protocol.BUSY)
        keeper.responder(0).result("freed")
        assert client.read()["result"] == "freed"
        client.send(request(5))
        keeper.responder(3).result("room again")
        assert client.read()["id"] == 5


def test_more_connections_than_allowed_are_refused(path: Path) -> None:
    keeper = Keeper()
    with serving(path, keeper, limits=Limits(connections=2)), ExitStack() as stack:
        for number in range(2):
            client = stack.enter_context(RawClient(path))
            client.send(request())
            keeper.responder(number)
        with RawClient(path) as third:
            assert third.read()["error"]["code"] == protocol.BUSY
            assert third.closed_by_server()
        with AdminClient(path) as fourth, pytest.raises(BibdError, match="connections are in use"):
            fourth.call("status", timeout=5)


def test_idle_connections_give_way_when_all_places_are_taken(path: Path) -> None:
    with serving(path, limits=Limits(connections=3)), ExitStack() as stack:
        idle = [stack.enter_context(RawClient(path)) for _ in range(3)]

        def gets_in() -> bool:
            with AdminClient(path) as client:
                try:
                    return bool(client.call("status", timeout=5))
                except BibdError:
                    return False

        eventually(gets_in, "an idle connection gives its place")
        closed, _, _ = select.select([client.sock for client in idle], [], [], 5)
        assert len(closed) == 1


def test_a_flood_is_throttled_and_the_others_are_served_at_once(path: Path) -> None:
    served: list[int] = []

    def handle(call: Call, responder: Responder) -> None:
        served.append(call.peer.pid)
        responder.result("ok")

    limits = Limits(requests_per_second=200, burst=20)
    with serving(path, handle, limits=limits), RawClient(path) as flooder, AdminClient(path) as other:
        stop = threading.Event()

        def flood() -> None:
            flooder.sock.settimeout(0.05)
            while not stop.is_set():
                try:
                    flooder.send(request() * 50)
                    flooder.sock.recv(65536)
                except OSError:
                    continue

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            waits: list[float] = []
            start = time.monotonic()
            while time.monotonic() < start + 1:
                before = time.monotonic()
                other.call("status", timeout=2)
                waits.append(time.monotonic() - before)
                time.sleep(0.02)
            elapsed = time.monotonic() - start
        finally:
            stop.set()
            thread.join()
    flooded = len(served) - len(waits)
    assert 20 <= flooded <= 20 + 200 * elapsed * 1.5
    assert sorted(waits)[len(waits) // 2] < 0.05


def test_one_turn_serves_one_request_of_each(path: Path) -> None:
    order: list[str] = []
    gate = threading.Event()

    def handle(call: Call, responder: Responder) -> None:
        if call.method == "health":
            gate.wait(5)  # hold the loop until all have sent
        order.append(call.method)
        responder.result("ok")

    with serving(path, handle), RawClient(path) as holder, RawClient(path) as greedy, RawClient(path) as modest:
        holder.send(request(method="health"))
        greedy.send(request(method="status") * 10)
        modest.send(request(method="db.ping"))
        gate.set()
        assert modest.read()["result"] == "ok"
        for _ in range(10):
            greedy.read()
    assert order.index("db.ping") <= 2


def test_connections_that_come_and_go_leave_nothing(path: Path, bystander: AdminClient) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(300):
        with RawClient(path) as client:
            client.send(request()[: number % 60])
    bystander.call("status", timeout=5)
    eventually(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before, "all descriptors are closed")


fragments = st.lists(
    st.one_of(
        st.binary(max_size=200),
        st.just(request(1)),
        st.just(request(2, "shutdown", force=True)),
        st.just(b"\n"),
        st.just(b"\r\n"),
        st.just(b"[" * 3000),
        st.just(b"x" * (LINE + 10)),
        st.sampled_from([request(3)[:20], b'{"jsonrpc":', b"\xc3", b"\x00" * 50]),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fragments=fragments, half_close=st.booleans())
def test_fuzzed_streams_get_valid_answers_or_a_closed_connection(
    path: Path, bystander: AdminClient, fragments: list[bytes], half_close: bool
) -> None:
    with RawClient(path) as client:
        try:
            for fragment in fragments:
                client.send(fragment)
            if half_close:
                client.sock.shutdown(socket.SHUT_WR)
                while True:
                    message = client.read()
                    assert ("result" in message) != ("error" in message)
        except (EOFError, OSError):
            pass
    assert bystander.call("db.ping", timeout=2)["ok"]
