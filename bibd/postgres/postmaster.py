"""Which server, if any, holds a data directory: postmaster.pid read with suspicion, and /proc.

A number in a PID file may be anybody's by now. A process is ours when it is a `postgres` whose working
directory is the data directory (the server changes into it at start); its start time makes it unique.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PidFile:
    """postmaster.pid, line by line (src/include/utils/pidfile.h). A file being written has fewer lines."""

    pid: int  # negative: a standalone backend's
    data: str
    started: int  # seconds since the epoch
    port: int  # 0: not yet known
    socket_dir: str
    listen: str  # the first TCP address, "" when none
    status: str  # starting | stopping | ready | standby, "" when not yet known


def parse(text: str) -> PidFile | None:
    """None when there is no process id in it."""
    lines = [line.strip() for line in text.split("\n")] + [""] * 8
    if not re.fullmatch(r"-?[1-9]\d{0,9}", lines[0], re.ASCII):
        return None
    return PidFile(
        pid=int(lines[0]),
        data=lines[1],
        started=_number(lines[2]),
        port=_number(lines[3]),
        socket_dir=lines[4],
        listen=lines[5],
        status=lines[7],
    )


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"\d{1,18}", text, re.ASCII) else 0


def read_pid_file(data: Path) -> PidFile | None:
    """None when there is none, or nothing in it."""
    try:
        return parse((data / "postmaster.pid").read_text(errors="replace"))
    except FileNotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told apart from a later one of the same number by its start (clock ticks after boot)."""

    pid: int
    start: int

    def alive(self) -> bool:
        return find_process(self.pid) == self

    def signal(self, number: int) -> None:
        """Send a signal, unless the process is gone."""
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


def find_process(pid: int) -> Process | None:
    """None when there is no such process, or nothing but its exit status (a zombie) is left."""
    fields = _stat(pid)
    if fields is None or fields[0] in {"Z", "X"}:
        return None
    return Process(pid, int(fields[19]))


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/pid/stat from the 3rd (state) on; the 2nd may hold spaces and parentheses (proc(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(") ")[2].split()


def holders(data: Path, cluster: str) -> list[Process]:
    """Every process of the server of ``data``, also backends that outlived their postmaster."""
    found: list[Process] = []
    for name in os.listdir("/proc"):  # noqa: PTH208 -- a Path for each of thousands of processes is slow
        if name.isdigit() and belongs(int(name), data, cluster):
            process = find_process(int(name))
            if process is not None:
                found.append(process)
    return found


def belongs(pid: int, data: Path, cluster: str) -> bool:
    """Whether ``pid`` is a postgres process of ``data``. ``cluster`` is the configured cluster_name."""
    try:
        if Path(f"/proc/{pid}/comm").read_text(errors="replace").strip() != "postgres":
            return False
    except (FileNotFoundError, ProcessLookupError):
        return False
    try:
        return os.path.samestat(Path(f"/proc/{pid}/cwd").stat(), data.stat())
    except (FileNotFoundError, ProcessLookupError):
        return False
    except PermissionError:
        # Root without CAP_SYS_PTRACE, as in a container, may not look at another account's working directory.
        words = _command_line(pid)
        return str(data) in words or words[0].startswith(f"postgres: {cluster}: ")


def is_postmaster(pid: int) -> bool:
    """Of a process that belongs to the server: the postmaster keeps its arguments, its children show a title."""
    words = _command_line(pid)
    return not words[0].startswith("postgres: ") and "--single" not in words and "--boot" not in words


def executable(pid: int) -> Path:
    """What a postmaster was started as: its first argument, which everybody may read."""
    return Path(_command_line(pid)[0])


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return [""]


class Kind(Enum):
    ABSENT = "no server"
    STALE = "PID file of a server that is gone"
    RECYCLED = "PID file whose process id is another process's now"
    ORPHANS = "processes of a server whose postmaster is gone"
    NO_PID_FILE = "a postmaster whose PID file is gone"
    STANDALONE = "a server in single-user mode"
    STARTING = "a server that starts or recovers"
    STOPPING = "a server that stops"
    READY = "a running server"


@dataclass(frozen=True, slots=True)
class Observation:
    kind: Kind
    pid_file: PidFile | None = None
    process: Process | None = None  # the postmaster
    orphans: tuple[Process, ...] = ()


_STATUS = {"ready": Kind.READY, "standby": Kind.READY, "stopping": Kind.STOPPING}


def observe(data: Path, cluster: str) -> Observation:
    """What holds ``data`` now. Raises nothing for a sick PID file."""
    pid_file = read_pid_file(data)
    if pid_file is not None:
        pid = abs(pid_file.pid)
        process = find_process(pid)
        if process is not None and belongs(pid, data, cluster):
            if pid_file.pid < 0:
                return Observation(Kind.STANDALONE, pid_file, process)
            if is_postmaster(pid):
                return Observation(_STATUS.get(pid_file.status, Kind.STARTING), pid_file, process)
    return _without_postmaster(data, cluster, pid_file)


def _without_postmaster(data: Path, cluster: str, pid_file: PidFile | None) -> Observation:
    found = holders(data, cluster)
    for process in found:
        if is_postmaster(process.pid):
            return Observation(Kind.NO_PID_FILE, pid_file, process)
    if found:
        return Observation(Kind.ORPHANS, pid_file, orphans=tuple(found))
    if not (data / "postmaster.pid").exists():
        return Observation(Kind.ABSENT)
    taken = pid_file is None or Path(f"/proc/{abs(pid_file.pid)}").exists()
    return Observation(Kind.RECYCLED if taken else Kind.STALE, pid_file)
