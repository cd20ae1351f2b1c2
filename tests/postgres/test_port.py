"""Ports."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from bibd.errors import BibdError
from bibd.postgres import port


def test_free_port_can_be_listened_on() -> None:
    number = port.choose_free("127.0.0.1")
    port.require_free("127.0.0.1", number)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", number))


@pytest.mark.parametrize("address", ["127.0.0.1", "*", "localhost"])
def test_taken_port_is_named_with_its_holder(address: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        assert port.holder_of(number) == (os.getpid(), Path("/proc/self/comm").read_text().strip())
        with pytest.raises(BibdError, match=f"port {number} is already in use \\(pid {os.getpid()}, "):
            port.require_free(address, number)


@pytest.mark.parametrize("address", ["192.0.2.1", "no-such-host.invalid"])
def test_address_that_is_not_ours_is_named(address: str) -> None:
    with pytest.raises(BibdError, match=f"cannot listen on {address}") as caught:
        port.require_free(address, 5432)
    assert "bind_address" in caught.value.hint


@pytest.mark.parametrize(("text", "number"), [("5433\n", 5433), ("", None), ("0", None), ("70000", None), ("x", None)])
def test_kept_port_is_a_port_or_nothing(data_dir: Path, text: str, number: int | None) -> None:
    data_dir.mkdir()
    (data_dir / "port").write_text(text)
    assert port.load(data_dir / "port") == number


def test_port_is_kept(data_dir: Path) -> None:
    data_dir.mkdir()
    assert port.load(data_dir / "port") is None
    port.keep(data_dir / "port", 5433)
    assert port.load(data_dir / "port") == 5433
