from __future__ import annotations

import socket
from pathlib import Path

import pytest

from bibd.config import resolve
from bibd.config.model import Admin, Database, Log, Postgres, Server, Settings
from bibd.errors import ConfigError

HOME = Path("/home/ada")


@pytest.mark.parametrize(
    ("configured", "euid", "expected"),
    [
        ("", 1000, "/home/ada/.local/share/bibd"),
        ("", 0, "/var/lib/bibd"),
        ("/srv/b", 0, "/srv/b"),
    ],
)
def test_the_data_directory_is_the_configured_one_or_that_of_the_account(
    configured: str, euid: int, expected: str
) -> None:
    settings = Settings(server=Server(data_dir=configured))
    assert resolve.data_dir(settings, home=HOME, euid=euid) == Path(expected)


def test_a_data_directory_that_would_be_relative_is_refused() -> None:
    with pytest.raises(ConfigError, match="not an absolute path"):
        resolve.data_dir(Settings(), home=Path(), euid=1000)


def test_paths_lie_in_the_data_directory_unless_configured() -> None:
    root = Path("/d")
    assert resolve.admin_socket(Settings(), root) == Path("/d/admin.sock")
    assert resolve.log_dir(Settings(), root) == Path("/d/logs")
    assert resolve.pid_file(Settings(), root) == Path("/d/bibd.pid")
    own = Settings(admin=Admin(socket="/run/s"), log=Log(dir="/log"), server=Server(pid_file="/run/p"))
    assert resolve.admin_socket(own, root) == Path("/run/s")
    assert resolve.log_dir(own, root) == Path("/log")
    assert resolve.pid_file(own, root) == Path("/run/p")


def test_the_longest_accepted_socket_path_is_the_longest_the_kernel_binds(tmp_path: Path) -> None:
    def bind(length: int) -> None:
        path = f"{tmp_path}/".ljust(length, "x")
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(path)

    bind(resolve.MAX_SOCKET_PATH)
    with pytest.raises(OSError, match="too long"):
        bind(resolve.MAX_SOCKET_PATH + 1)


def test_data_directories_too_deep_for_the_sockets_are_refused() -> None:
    settings = Settings()
    name = "/postgres/run/.s.PGSQL.5432"
    resolve.check_socket_paths(settings, Path("/" + "x" * (107 - len(name) - 1)))
    with pytest.raises(ConfigError, match=r"socket of PostgreSQL.*108 bytes.*holds 107") as caught:
        resolve.check_socket_paths(settings, Path("/" + "x" * (107 - len(name))))
    assert caught.value.hint == "choose a shorter server.data_dir"
    # SQLite has no such socket, and é has two bytes.
    sqlite = Settings(database=Database(backend="sqlite"))
    resolve.check_socket_paths(sqlite, Path("/" + "x" * 95))
    with pytest.raises(ConfigError, match=r"admin\.socket"):
        resolve.check_socket_paths(sqlite, Path("/" + "é" * 48))


def test_a_port_yet_to_be_chosen_counts_with_five_digits() -> None:
    settings = Settings(database=Database(postgres=Postgres(port=0)))
    with pytest.raises(ConfigError, match="108 bytes"):
        resolve.check_socket_paths(settings, Path("/" + "x" * (107 - len("/postgres/run/.s.PGSQL.65535"))))


def test_a_configured_socket_that_is_too_long_is_named_itself() -> None:
    settings = Settings(admin=Admin(socket="/" + "x" * 107))
    with pytest.raises(ConfigError) as caught:
        resolve.check_socket_paths(settings, Path("/d"))
    assert caught.value.hint == "choose a shorter admin.socket"
