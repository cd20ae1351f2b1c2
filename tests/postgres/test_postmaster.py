"""postmaster.pid and /proc: no text and no process can fool or break the reader."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd.postgres import postmaster
from bibd.postgres.postmaster import Kind
from bibd.postgres.spec import ServerSpec
from tests.postgres.scenario import server_of, start, until

WHOLE = "4711\n/d/data\n1700000000\n5433\n/d/run\n127.0.0.1\n  4711  0\nready   \n"


def test_whole_file_is_read() -> None:
    assert postmaster.parse(WHOLE) == postmaster.PidFile(
        4711, "/d/data", 1700000000, 5433, "/d/run", "127.0.0.1", "ready"
    )


@given(st.integers(min_value=0, max_value=len(WHOLE)))
def test_file_that_is_being_written_is_never_ready(length: int) -> None:
    pid_file = postmaster.parse(WHOLE[:length])
    if length < WHOLE.index("ready") + 5:
        assert pid_file is None or pid_file.status != "ready"


@given(st.text())
def test_any_text_is_read_or_refused_but_never_raises(text: str) -> None:
    pid_file = postmaster.parse(text)
    assert pid_file is None or pid_file.pid != 0


@given(st.binary(max_size=300))
def test_any_bytes_in_a_pid_file_are_observed_without_an_error(content: bytes) -> None:
    directory = Path("/tmp") / f"bibd-observe-{os.getpid()}"
    directory.mkdir(exist_ok=True)
    try:
        (directory / "postmaster.pid").write_bytes(content)
        assert postmaster.observe(directory, "bibd-test").kind in {Kind.STALE, Kind.RECYCLED}
    finally:
        shutil.rmtree(directory)


def test_zombie_is_no_process() -> None:
    child = subprocess.Popen(["true"])
    try:
        stat = Path(f"/proc/{child.pid}/stat")
        until(lambda: ") Z " in stat.read_text(), "it is a zombie")
        assert postmaster.find_process(child.pid) is None
    finally:
        child.wait()


def test_later_process_of_the_same_number_is_another() -> None:
    mine = postmaster.find_process(os.getpid())
    assert mine is not None
    assert mine.alive()
    assert not postmaster.Process(mine.pid, mine.start + 1).alive()


def test_postmaster_is_told_from_its_backends_and_from_strangers(prepared: ServerSpec) -> None:
    running = start(server_of(prepared))
    family = {process.pid for process in postmaster.holders(prepared.data, prepared.cluster)}
    assert running.pid in family
    assert len(family) > 3  # checkpointer, writer, …
    assert [pid for pid in family if postmaster.is_postmaster(pid)] == [running.pid]
    assert not postmaster.belongs(os.getpid(), prepared.data, prepared.cluster)
    assert not postmaster.belongs(running.pid, prepared.run, "another")


def test_server_is_known_without_the_right_to_see_its_working_directory(
    prepared: ServerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root in a container, which lacks CAP_SYS_PTRACE."""
    running = start(server_of(prepared))
    stat = Path.stat

    def refuse(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.match("/proc/*/cwd"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", refuse)
    seen = postmaster.observe(prepared.data, prepared.cluster)
    assert seen.kind is Kind.READY
    assert len(postmaster.holders(prepared.data, prepared.cluster)) > 3
    assert not postmaster.belongs(running.pid, prepared.run, "another")
