"""The TCP port: whether it is free, who holds it, and which one to take."""

from __future__ import annotations

import errno
import re
import socket
from contextlib import suppress
from pathlib import Path

from bibd.durable import write_file
from bibd.errors import BibdError
from bibd.postgres.hba import ANY


def require_free(address: str, port: int, *, key: str = "database.postgres.port") -> None:
    """Raise BibdError when a server could not listen on ``address``:``port`` now."""
    for family, target in _targets(address, port):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            _bind(probe, family, target, address, port, key)


def choose_free(address: str) -> int:
    """A port that nobody listens on. It may be taken a moment later: starting the server tells."""
    family, target = _targets(address, 0)[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        _bind(probe, family, target, address, 0, "database.postgres.port")
        return int(probe.getsockname()[1])


def in_use(port: int, *, key: str = "database.postgres.port") -> BibdError:
    """The error for a port that is taken, naming the process when /proc tells."""
    holder = holder_of(port)
    who = f" (pid {holder[0]}, {holder[1]})" if holder else ""
    return BibdError(f"port {port} is already in use{who}", f"set {key}, or stop the other server{who}")


def load(path: Path) -> int | None:
    """The port that was chosen earlier, None when there is none."""
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    return int(text) if re.fullmatch(r"\d{1,5}", text, re.ASCII) and 0 < int(text) < 65536 else None


def keep(path: Path, port: int) -> None:
    if load(path) != port:
        write_file(path, f"{port}\n".encode())


def holder_of(port: int) -> tuple[int, str] | None:
    """(pid, name) of the process that listens on a TCP port of this machine, if we may know."""
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not inodes:
        return None
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with suppress(OSError):
                    if str(descriptor.readlink()) in inodes:
                        return int(process.name), (process / "comm").read_text().strip()
    return None


def _listening_inodes(port: int) -> list[str]:
    """From /proc/net/tcp and tcp6 (proc(5)): the 2nd field is the local address, the 4th the state (0A: LISTEN)."""
    found: list[str] = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    found.append(fields[9])
    return found


def _targets(address: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    host = None if address in ANY else address
    if address == "0.0.0.0":  # noqa: S104 -- the operator's choice
        return [(socket.AF_INET, ("0.0.0.0", port))]  # noqa: S104
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_ADDRCONFIG)
    except OSError as error:
        raise BibdError(
            f"cannot listen on {address}: {error.strerror}", "set database.postgres.bind_address"
        ) from error
    return [(entry[0], (str(entry[4][0]), port)) for entry in found]


def _bind(
    probe: socket.socket, family: socket.AddressFamily, target: tuple[str, int], address: str, port: int, key: str
) -> None:
    # As the server does: a port whose old connections linger in TIME_WAIT is free.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        probe.bind(target)
        probe.listen(1)  # with SO_REUSEADDR, only listening meets another listener of the same address for certain
    except PermissionError as error:
        raise BibdError(f"permission denied: cannot listen on port {port}", f"set {key} to 1024 or above") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise in_use(port, key=key) from error
        raise BibdError(
            f"cannot listen on {address}: {error.strerror}", "set database.postgres.bind_address"
        ) from error
