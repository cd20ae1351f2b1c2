"""bibd.admin.server with real sockets and threads: answers, peers, life."""

from __future__ import annotations

import errno
import os
import resource
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from bibd.admin import protocol
from bibd.admin.call import AuditEntry, Call, Limits, Responder
from bibd.admin.client import AdminClient
from bibd.admin.server import AdminServer
from bibd.errors import BibdError, RefusedError, UnreachableError
from tests.admin.fake_daemon import answer, answer_at_once, answer_from_a_thread, serving
from tests.admin.raw import RawClient, eventually, request


@pytest.fixture
def path(data_dir: Path) -> Path:
    data_dir.mkdir()
    return data_dir / "admin.sock"


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    def open_files() -> list[str]:
        return sorted(file.name for file in Path("/proc/self/fd").iterdir())

    before, threads = open_files(), threading.active_count()
    yield
    eventually(lambda: threading.active_count() <= threads, "threads end")
    assert open_files() == before


class Keeper:
    """A handler that keeps the responders."""

    def __init__(self) -> None:
        self.calls: list[tuple[Call, Responder]] = []

    def __call__(self, call: Call, responder: Responder) -> None:
        self.calls.append((call, responder))

    def responder(self, number: int = 0) -> Responder:
        eventually(lambda: len(self.calls) > number, f"call {number} arrives")
        return self.calls[number][1]


def test_a_call_is_answered_and_the_handler_knows_who_asks(path: Path) -> None:
    calls: list[Call] = []

    def handle(call: Call, responder: Responder) -> None:
        calls.append(call)
        responder.result(answer(call))

    with serving(path, handle), AdminClient(path) as client:
        assert client.call("db.ping", timeout=5) == {"ok": True, "seconds": 0.0012, "version": "18.6"}
        assert client.call("ops.list", timeout=5)[0]["id"] == "17"
    peer = calls[0].peer
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.geteuid(), os.getegid())


def test_answers_may_come_from_any_thread(path: Path) -> None:
    with serving(path, answer_from_a_thread), AdminClient(path) as client:
        for _ in range(50):
            assert client.call("status", timeout=5)["state"] == "ready"


def test_calls_of_one_connection_may_be_answered_out_of_order(path: Path) -> None:
    keeper = Keeper()
    with serving(path, keeper), RawClient(path) as client:
        client.send(request("first") + request("second"))
        keeper.responder(1).result("b")
        assert client.read()["id"] == "second"
        keeper.responder(0).result("a")
        assert client.read() == {"jsonrpc": "2.0", "id": "first", "result": "a"}


def test_the_first_answer_wins(path: Path) -> None:
    keeper = Keeper()
    entries: list[AuditEntry] = []
    with serving(path, keeper, audit=entries.append), RawClient(path) as client:
        client.send(request(1, "reload"))
        responder = keeper.responder()
        racers = [threading.Thread(target=responder.result, args=(number,)) for number in range(8)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        responder.error(BibdError("too late"))
        responder.progress({"late": True})
        assert client.read()["result"] in range(8)
        client.send(request(2))
        keeper.responder(1).result("next")
        assert client.read() == {"jsonrpc": "2.0", "id": 2, "result": "next"}
    assert [entry.event for entry in entries] == ["requested", "done"]


def test_progress_is_streamed_before_the_result(path: Path) -> None:
    def handle(_: Call, responder: Responder) -> None:
        for step in (0.25, 0.5):
            responder.progress({"done": step})
        responder.result("end")

    seen: list[Mapping[str, object]] = []
    with serving(path, handle), AdminClient(path) as client:
        assert client.call("reload", timeout=5, on_progress=seen.append) == "end"
    assert [step["done"] for step in seen] == [0.25, 0.5]


def test_an_error_of_the_handler_reaches_the_client_as_it_is(path: Path) -> None:
    def handle(call: Call, responder: Responder) -> None:
        if call.method == "reload":
            raise BibdError("raised", "hint")
        responder.error(RefusedError("a backup runs", "use --force"))

    with serving(path, handle), AdminClient(path) as client:
        with pytest.raises(RefusedError) as refused:
            client.call("shutdown", timeout=5)
        assert (refused.value.message, refused.value.hint) == ("a backup runs", "use --force")
        with pytest.raises(BibdError) as raised:
            client.call("reload", timeout=5)
        assert (raised.value.message, raised.value.exit_code) == ("raised", 1)


@pytest.mark.parametrize("defect", [ValueError("s3cret"), KeyError("s3cret"), RecursionError("s3cret")])
def test_a_crash_of_the_handler_is_an_internal_error_without_its_text(path: Path, defect: Exception) -> None:
    def handle(call: Call, responder: Responder) -> None:
        if call.method == "status":
            raise defect
        responder.result(object() if call.method == "health" else "ok")

    with serving(path, handle), RawClient(path) as client:
        for method in ("status", "health"):
            error = client.ask(request(1, method))["error"]
            assert error["code"] == protocol.INTERNAL_ERROR
            assert "s3cret" not in str(error)
        assert client.ask(request(2, "db.ping"))["result"] == "ok"


def test_a_client_that_half_closes_still_gets_its_answers(path: Path) -> None:
    keeper = Keeper()
    with serving(path, keeper), RawClient(path) as client:
        client.send(request(1) + request(2))
        client.sock.shutdown(socket.SHUT_WR)
        keeper.responder(0).result("a")
        keeper.responder(1).result("b")
        assert [client.read()["result"], client.read()["result"]] == ["a", "b"]
        assert client.closed_by_server()


def test_a_vanished_client_is_forgotten(path: Path) -> None:
    keeper = Keeper()
    with serving(path, keeper), AdminClient(path) as other:
        with RawClient(path) as client:
            client.send(request())
            responder = keeper.responder()
        responder.progress({"done": 1})
        responder.result("nobody reads this")
        threading.Thread(target=lambda: keeper.responder(1).result("fine")).start()
        assert other.call("status", timeout=5) == "fine"


def test_a_vanished_client_with_a_pending_call_costs_nothing(path: Path) -> None:
    keeper = Keeper()
    with serving(path, keeper):
        with RawClient(path) as client:
            client.send(request())
            keeper.responder()
        before = _thread_seconds()
        threading.Event().wait(0.4)  # epoll reports the hang-up for as long as it watches
        assert _thread_seconds() - before < 0.1


def test_the_socket_is_for_its_owner_alone(path: Path) -> None:
    with serving(path):
        mode = path.lstat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600


def test_another_account_is_refused_and_audited(path: Path) -> None:
    entries: list[AuditEntry] = []
    with serving(path, allowed_uids=frozenset({os.geteuid() + 1}), audit=entries.append):
        with RawClient(path) as client:
            error = client.read()["error"]
            assert error["code"] == protocol.FORBIDDEN
            assert f"uid {os.geteuid()}" in error["message"]
            assert client.closed_by_server()
        with AdminClient(path) as client_, pytest.raises(BibdError, match="may not use"):
            client_.call("status", timeout=5)
    assert [(entry.event, entry.peer.uid) for entry in entries] == [("refused", os.geteuid())] * 2


def test_changes_and_secrets_are_audited_before_and_after(path: Path) -> None:
    entries: list[AuditEntry] = []

    def handle(call: Call, responder: Responder) -> None:
        if call.method == "reload":
            raise BibdError("the file is broken")
        responder.result(answer(call))

    with serving(path, handle, audit=entries.append), AdminClient(path) as client:
        client.call("status", timeout=5)
        client.call("db.url", timeout=5)
        with pytest.raises(BibdError):
            client.call("reload", timeout=5)
    assert [(entry.method, entry.event, entry.detail) for entry in entries] == [
        ("db.url", "requested", ""),
        ("db.url", "done", ""),
        ("reload", "requested", ""),
        ("reload", "failed", "the file is broken"),
    ]


def test_a_failing_audit_log_does_not_stop_the_daemon_from_stopping(path: Path) -> None:
    def full_disk(_: AuditEntry) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with serving(path, audit=full_disk), AdminClient(path) as client:
        assert client.call("shutdown", {"force": True}, timeout=5)["force"] is True


def test_close_answers_what_is_pending_and_unlinks(path: Path) -> None:
    keeper = Keeper()
    server = AdminServer(path, keeper, allowed_uids=frozenset({os.geteuid()}), audit=lambda _: None)
    server.start()
    with RawClient(path) as answered, RawClient(path) as waiting:
        answered.send(request("a"))
        keeper.responder(0).result("x" * 3_000_000)  # more than a socket's buffer: it is being sent when close comes
        waiting.send(request("w"))
        keeper.responder(1)
        closer = threading.Thread(target=server.close, args=(5,))
        closer.start()
        assert waiting.read()["error"]["code"] == protocol.UNAVAILABLE
        assert answered.read()["result"] == "x" * 3_000_000
        closer.join()
        assert waiting.closed_by_server()
    assert not path.exists()
    keeper.responder(1).result("late")  # ignored
    server.close(1)  # again: nothing happens
    with pytest.raises(UnreachableError):
        AdminClient(path).call("status", timeout=1)


def test_close_does_not_wait_for_those_who_do_not_read(path: Path) -> None:
    keeper = Keeper()
    server = AdminServer(path, keeper, allowed_uids=frozenset({os.geteuid()}), audit=lambda _: None)
    server.start()
    with RawClient(path) as client:
        client.send(request())
        keeper.responder().result("x" * 3_000_000)
        server.close(timeout=0.2)
        assert not server.alive


def test_close_from_the_handler_does_not_deadlock(path: Path) -> None:
    servers: list[AdminServer] = []

    def handle(call: Call, responder: Responder) -> None:
        responder.result(answer(call))
        servers[0].close(1)

    with serving(path, handle) as server, AdminClient(path) as client:
        servers.append(server)
        assert client.call("shutdown", timeout=5)["force"] is False
        eventually(lambda: not server.alive, "the server ends")


def test_a_server_that_never_started_can_be_closed(path: Path) -> None:
    AdminServer(path, answer_at_once, allowed_uids=frozenset(), audit=lambda _: None).close(1)


def test_stale_socket_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with serving(path), AdminClient(path) as client:
        assert client.call("status", timeout=5)["state"] == "ready"


def test_the_socket_of_a_living_daemon_is_left_alone(path: Path) -> None:
    with serving(path), AdminClient(path) as client:
        with pytest.raises(BibdError, match="another daemon answers"), serving(path):
            pass
        assert client.call("status", timeout=5)["state"] == "ready"
    assert not path.exists()


def test_the_socket_of_a_daemon_with_a_full_backlog_is_left_alone(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, ExitStack() as stack:
        busy.bind(str(path))
        busy.listen(0)
        stack.enter_context(RawClient(path))
        with pytest.raises(BibdError, match="another daemon answers"), serving(path):
            pass
        assert path.exists()


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_not_a_socket_is_never_removed(path: Path, kind: str) -> None:
    match kind:
        case "file":
            path.write_text("precious")
        case "directory":
            path.mkdir()
        case _:
            path.symlink_to("/nonexistent")
    with pytest.raises(BibdError, match="is not a socket"), serving(path):
        pass
    assert path.lstat()


def test_close_does_not_unlink_the_socket_of_a_successor(path: Path) -> None:
    with serving(path):
        path.unlink()
        with serving(path) as successor:
            pass
        assert not successor.alive
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
    assert path.exists()


def test_a_socket_path_that_cannot_be_is_named(path: Path) -> None:
    for bad, text in ((path.parent / "no" / "s", "cannot open"), (path.parent / ("x" * 120), "longer than 107 bytes")):
        with pytest.raises(BibdError, match=text) as caught, serving(bad):
            pass
        assert "admin.socket" in caught.value.hint


def test_fd_exhaustion_pauses_accepting_without_spinning(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with serving(path) as server, AdminClient(path) as early, ExitStack() as stack:
        early.call("status", timeout=5)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for sock in waiting:
            stack.enter_context(sock)
        highest = max(int(file.name) for file in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        fillers: list[int] = []
        try:
            with suppress(OSError):
                while True:
                    fillers.append(os.open("/dev/null", os.O_RDONLY))
            for sock in waiting:
                sock.connect(str(path))
            before = _thread_seconds()
            for _ in range(20):  # who is in is still served
                early.call("status", timeout=5)
            eventually_idle = threading.Event()
            eventually_idle.wait(0.7)  # longer than one pause of accepting
            spent = _thread_seconds() - before
            assert server.alive
        finally:
            for filler in fillers:
                os.close(filler)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert spent < 0.3
        for sock in waiting:
            sock.settimeout(5)
            sock.sendall(request())
            assert sock.recv(100).startswith(b'{"jsonrpc"')


def _thread_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def test_many_starts_and_closes_leave_nothing_behind(path: Path) -> None:
    for _ in range(30):
        with serving(path, limits=Limits(stall_seconds=1)), RawClient(path) as client:
            client.send(request())
    assert not path.exists()
