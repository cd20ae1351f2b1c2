"""Who migrates, who waits, and who is held up by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from bibd.errors import BibdError
from bibd.migrations.backend import StepProgress
from bibd.migrations.engine import Cancelled, Outcome, Retry
from bibd.migrations.lock import AdvisoryLock, FileLock, acquire
from bibd.migrations.plan import UpAll
from tests.migrations.conftest import Connect
from tests.migrations.scenario import SEEDED, migrations_in, migrator, query, run


class Scripted:
    """A lock that is free at the ``free_at``th try."""

    def __init__(self, free_at: int, holders: list[str]) -> None:
        self.tries = 0
        self._free_at = free_at
        self._holders = holders

    def try_acquire(self) -> bool:
        self.tries += 1
        return self.tries >= self._free_at

    def holder(self) -> str:
        return self._holders[min(self.tries, len(self._holders)) - 1]

    def release(self) -> None:
        raise AssertionError


def test_waiting_grows_and_tells_of_each_holder_once() -> None:
    slept: list[float] = []
    told: list[str] = []

    def wait(seconds: float) -> bool:
        slept.append(seconds)
        return False

    lock = Scripted(12, ["a", "a", "", "b"])
    acquire(lock, wait=wait, waiting=told.append, random=SEEDED, monotonic=lambda: sum(slept))
    assert told == ["a", "b"]
    assert len(slept) == 11
    assert slept[0] < 0.05
    assert 0.25 <= slept[-1] <= 0.5


def test_waiting_ends_at_its_time_or_when_told_to() -> None:
    now = [0.0]

    def wait(seconds: float) -> bool:
        now[0] += seconds
        return False

    with pytest.raises(BibdError, match="has held the lock for 3 s: pid 7"):
        acquire(
            Scripted(10**6, ["pid 7"]),
            wait=wait,
            waiting=lambda _: None,
            random=SEEDED,
            timeout=3,
            monotonic=lambda: now[0],
        )
    assert 3 <= now[0] < 3.6
    with pytest.raises(Cancelled):
        acquire(Scripted(10**6, ["pid 7"]), wait=lambda _: True, waiting=lambda _: None, random=SEEDED)


def test_an_advisory_lock_is_of_one_session_and_ends_with_it(connect: Connect) -> None:
    first, second = connect("bibd", "first"), connect("postgres", "second")
    locks = AdvisoryLock(first), AdvisoryLock(second)
    assert locks[0].holder() == ""
    assert locks[0].try_acquire()
    assert not locks[1].try_acquire()
    assert locks[0].holder() == ""
    assert f"pid {first.info.backend_pid} (first)" in locks[1].holder()
    first.close()
    deadline = time.monotonic() + 10
    while not locks[1].try_acquire():
        assert time.monotonic() < deadline
    locks[1].release()
    assert locks[1].holder() == ""


def test_a_file_lock_is_of_one_holder_and_can_be_taken_again(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert first.holder() == ""
    assert first.try_acquire()
    assert not second.try_acquire()
    assert second.holder().startswith("pid ")
    first.release()
    assert second.try_acquire()
    second.release()
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


@contextmanager
def in_background(work: Callable[[], object]) -> Generator[list[object]]:
    """The result is in the list when the block has ended."""
    result: list[object] = []

    def caught() -> None:
        try:
            result.append(work())
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=caught, daemon=True)
    thread.start()
    try:
        yield result
    finally:
        thread.join(30)
        assert not thread.is_alive()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def waits_for_a_lock(session: psycopg.Connection) -> list[tuple[object, ...]]:
    return query(
        session, "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )


def test_one_waits_sees_the_other_and_does_nothing_twice(connect: Connect, tmp_path: Path) -> None:
    gate = connect()
    gate.execute(b"CREATE TABLE gate (x int)")
    migrations = migrations_in(
        tmp_path,
        {
            "1_a.up": "CREATE TABLE a (x int);",
            "2_b.up": "CREATE INDEX CONCURRENTLY i ON a (x);",
            "3_c.up": "LOCK TABLE gate IN ACCESS SHARE MODE; INSERT INTO a VALUES (1)",
        },
    )
    gate.execute(b"BEGIN; LOCK TABLE gate")
    told: list[StepProgress] = []
    first, second = connect("bibd", "first"), connect("bibd", "second")
    with (
        in_background(lambda: run(migrator(first, migrations, lock_timeout=20))) as one,
        in_background(lambda: run(migrator(second, migrations), progress=told.append)) as two,
    ):
        until(lambda: told)
        gate.execute(b"COMMIT")
    results = [*one, *two]
    assert [r.state for r in results if isinstance(r, Outcome)] == ["clean", "clean"]
    assert told[0].state == "waiting for lock"
    assert "(first)" in told[0].detail or "(second)" in told[0].detail
    assert query(gate, "SELECT x FROM a") == [(1,)]


def test_another_ones_unfinished_file_is_not_taken_for_a_dirty_one(connect: Connect, tmp_path: Path) -> None:
    session, blocker = connect(), connect()
    session.execute(b"CREATE TABLE a (x int)")
    migrations = migrations_in(tmp_path, {"1_i.up": "CREATE INDEX CONCURRENTLY i ON a (x);"})
    # CREATE INDEX CONCURRENTLY waits for those who may still write without knowing of the index.
    blocker.execute(b"BEGIN; INSERT INTO a VALUES (1)")
    with in_background(lambda: run(migrator(session, migrations))) as result:
        looking = migrator(connect(), migrations)
        until(lambda: "is being migrated by pid" in looking.status().action)
        assert looking.status().state == "pending"
        assert "is running just now" in looking.explain_reset().explanation
        blocker.execute(b"COMMIT")
    assert isinstance(result[0], Outcome)
    assert looking.status().state == "clean"


def test_a_long_reader_delays_other_readers_by_no_more_than_lock_timeout(connect: Connect, tmp_path: Path) -> None:
    lock_timeout = 0.5
    long_reader, reader, session = connect(), connect(), connect()
    session.execute(b"CREATE TABLE a (x int)")
    migrations = migrations_in(tmp_path, {"1_add.up": "ALTER TABLE a ADD y int;"})
    long_reader.execute(b"BEGIN; SELECT * FROM a")
    told: list[StepProgress] = []
    retry = Retry(attempts=50, first_delay=0.05, longest_delay=0.1)
    longest = 0.0
    with in_background(
        lambda: run(migrator(session, migrations, lock_timeout=lock_timeout, retry=retry), progress=told.append)
    ) as result:
        until(lambda: waits_for_a_lock(long_reader))
        while sum(step.state == "retrying" for step in told) < 4:
            began = time.monotonic()
            reader.execute(b"SELECT * FROM a").fetchall()
            longest = max(longest, time.monotonic() - began)
        long_reader.execute(b"COMMIT")
    assert isinstance(result[0], Outcome)
    # It was held up, and not much longer: the rest is this machine's other work.
    assert 0.1 < longest < 2 * lock_timeout
    assert query(reader, "SELECT count(*) FROM information_schema.columns WHERE table_name = 'a'") == [(2,)]


def test_it_gives_up_after_its_attempts_and_names_the_oldest_transaction(connect: Connect, tmp_path: Path) -> None:
    session, holder = connect(), connect("bibd", "forgotten")
    session.execute(b"CREATE TABLE a (x int)")
    holder.execute(b"BEGIN; SELECT * FROM a")
    found = migrator(
        session,
        migrations_in(tmp_path, {"1_add.up": "ALTER TABLE a ADD y int;"}),
        lock_timeout=0.05,
        retry=Retry(attempts=3, first_delay=0.01, longest_delay=0.01),
    )
    told: list[StepProgress] = []
    with pytest.raises(
        BibdError, match=rf"lock timeout.*pid {holder.info.backend_pid} \(forgotten, idle in trans"
    ) as e:
        run(found, progress=told.append)
    assert "nothing of this file remains" in e.value.hint
    assert [step.state for step in told] == ["running", "retrying", "running", "retrying", "running"]


def test_a_deadlock_is_tried_again(connect: Connect, tmp_path: Path) -> None:
    session, other = connect(), connect("postgres")
    session.execute(b"CREATE TABLE a (x int); CREATE TABLE b (x int)")
    # Only the migration looks for deadlocks in time, so it is the one that fails.
    other.execute(b"SET deadlock_timeout = '60s'; BEGIN; LOCK TABLE b")
    connect("postgres").execute(
        f"ALTER ROLE bibd IN DATABASE {session.info.dbname} SET deadlock_timeout = '50ms'".encode()
    )
    told: list[StepProgress] = []
    migrations = migrations_in(tmp_path, {"1_add.up": "ALTER TABLE a ADD y int; ALTER TABLE b ADD y int;"})
    with in_background(lambda: run(migrator(connect(), migrations, lock_timeout=20), progress=told.append)) as result:
        until(lambda: waits_for_a_lock(session))
        other.execute(b"LOCK TABLE a")
        other.execute(b"COMMIT")
    assert isinstance(result[0], Outcome)
    assert next(step.detail for step in told if step.state == "retrying").startswith("deadlock detected")


@pytest.mark.parametrize(
    ("sql", "left"),
    [
        ("CREATE TABLE half (x int); SELECT pg_sleep(60);", "pending"),
        ("CREATE INDEX CONCURRENTLY i ON a (x);", "pending"),
        ("-- bibd: no-transaction\nCREATE TABLE half (x int); SELECT pg_sleep(60);", "dirty"),
        ("CREATE TABLE half (x int); LOCK TABLE a;", "pending"),
    ],
)
def test_cancel_ends_the_statement_that_runs(connect: Connect, tmp_path: Path, sql: str, left: str) -> None:
    session, holder, looking = connect(), connect(), connect()
    session.execute(b"CREATE TABLE a (x int)")
    holder.execute(b"BEGIN; INSERT INTO a VALUES (1)")
    cancel = threading.Event()
    migrations = migrations_in(tmp_path, {"1_a.up": sql})
    found = migrator(session, migrations, lock_timeout=60)
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type IN ('Lock', 'Timeout') AND application_name = 'test'"
    with in_background(lambda: found.run(UpAll(), progress=lambda _: None, cancel=cancel)) as result:
        until(lambda: query(looking, waiting))
        began = time.monotonic()
        cancel.set()
    assert time.monotonic() - began < 2
    assert isinstance(result[0], Cancelled)
    holder.execute(b"COMMIT")
    assert found.status().state == left
    if "half" in sql and left == "pending":
        assert query(session, "SELECT to_regclass('half')") == [(None,)]


def test_cancel_ends_the_wait_for_the_lock_and_for_the_next_try(connect: Connect, tmp_path: Path) -> None:
    session, holder = connect(), connect()
    session.execute(b"CREATE TABLE a (x int)")
    migrations = migrations_in(tmp_path, {"1_a.up": "ALTER TABLE a ADD y int"})
    lock = AdvisoryLock(holder)
    assert lock.try_acquire()
    for state in ("waiting for lock", "retrying"):
        cancel = threading.Event()

        def stop(step: StepProgress, state: str = state, cancel: threading.Event = cancel) -> None:
            if step.state == state:
                cancel.set()

        slow = Retry(attempts=9, first_delay=60, longest_delay=60)
        with pytest.raises(Cancelled):
            migrator(session, migrations, lock_timeout=0.05, retry=slow).run(UpAll(), progress=stop, cancel=cancel)
        lock.release()
        holder.execute(b"BEGIN; SELECT * FROM a")
    holder.execute(b"COMMIT")
    assert run(migrator(session, migrations)).version == 1


def test_an_invalid_index_is_dropped_before_the_next_try(connect: Connect, tmp_path: Path) -> None:
    session, holder, looking = connect("bibd", "killed"), connect(), connect("postgres")
    looking.execute(b"SET ROLE bibd; CREATE TABLE a (x int); INSERT INTO a VALUES (1); RESET ROLE")
    migrations = migrations_in(tmp_path, {"1_i.up": "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON a (x);"})
    holder.execute(b"BEGIN; INSERT INTO a VALUES (2)")
    with in_background(lambda: run(migrator(session, migrations))) as result:
        until(lambda: query(looking, "SELECT FROM pg_index WHERE NOT indisvalid AND indexrelid = to_regclass('i')"))
        # With the server's process goes all that it could tidy up.
        looking.execute(b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'killed'")
    holder.execute(b"COMMIT")
    assert isinstance(result[0], BibdError)
    (before,) = query(looking, "SELECT 'i'::regclass::oid, indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass")
    assert before[1] is False
    found = migrator(connect(), migrations)
    assert found.status().state == "dirty"
    assert run(found).state == "clean"
    (after,) = query(looking, "SELECT 'i'::regclass::oid, indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass")
    assert after[1] is True
    assert after[0] != before[0]


def test_an_invalid_index_that_somebody_builds_is_left_alone(connect: Connect, tmp_path: Path) -> None:
    session, holder, builder = connect(), connect(), connect("bibd", "builder")
    session.execute(b"CREATE TABLE a (x int); INSERT INTO a VALUES (1)")
    holder.execute(b"BEGIN; INSERT INTO a VALUES (2)")
    with in_background(lambda: builder.execute(b"CREATE INDEX CONCURRENTLY i ON a (x)")):
        until(lambda: query(session, "SELECT FROM pg_index WHERE indexrelid = to_regclass('i')"))
        found = migrator(session, migrations_in(tmp_path, {"1_i.up": "CREATE INDEX CONCURRENTLY i ON a (x)"}))
        with in_background(lambda: run(found)) as result:
            until(lambda: len(waits_for_a_lock(holder)) == 2)
            holder.execute(b"COMMIT")
    assert "already exists" in str(result[0])
    assert query(session, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == [(True,)]


def test_what_an_interrupted_reindex_leaves_is_dropped_before_the_next_try(connect: Connect, tmp_path: Path) -> None:
    session, holder, looking = connect("bibd", "killed"), connect(), connect("postgres")
    holder.execute(b"CREATE TABLE a (x int); CREATE INDEX i ON a (x)")
    migrations = migrations_in(tmp_path, {"1_i.up": "REINDEX INDEX CONCURRENTLY i;"})
    holder.execute(b"BEGIN; INSERT INTO a VALUES (2)")
    left = "SELECT FROM pg_index i JOIN pg_class c ON c.oid = indexrelid WHERE NOT indisvalid AND relname LIKE '%ccnew'"
    with in_background(lambda: run(migrator(session, migrations))):
        until(lambda: query(looking, left))
        looking.execute(b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'killed'")
    holder.execute(b"COMMIT")
    assert query(looking, left)
    assert run(migrator(connect(), migrations)).state == "clean"
    assert not query(looking, left)
