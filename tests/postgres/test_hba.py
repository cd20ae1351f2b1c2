"""pg_hba.conf: nobody is trusted, nobody far away is let in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd.postgres import hba


def entries(bind_address: str, *, tls: bool) -> list[list[str]]:
    text = hba.render(bind_address=bind_address, tls=tls)
    return [line.split() for line in text.splitlines() if not line.startswith("#")]


@given(st.sampled_from(["127.0.0.1", "::1", "localhost", "::", "*", "10.0.0.5", "db.example"]), st.booleans())
def test_only_scram_and_reject_and_everything_else_is_rejected(address: str, tls: bool) -> None:
    lines = entries(address, tls=tls)
    assert {line[-1] for line in lines} == {"scram-sha-256", "reject"}
    assert lines[-1] == ["host", "all", "all", "all", "reject"]


def test_superuser_is_rejected_by_tcp_before_any_other_rule_lets_it_in() -> None:
    lines = entries("*", tls=False)
    first_tcp = next(line for line in lines if line[0] != "local")
    assert first_tcp == ["host", "all", "postgres", "all", "reject"]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_lets_no_network_in(address: str) -> None:
    assert not any("samenet" in line for line in entries(address, tls=True))


@pytest.mark.parametrize(("tls", "kind"), [(True, "hostssl"), (False, "host")])
def test_networks_come_in_with_tls_when_there_is_tls(tls: bool, kind: str) -> None:
    assert [kind, "all", "all", "samenet", "scram-sha-256"] in entries("10.0.0.5", tls=tls)
