"""postgresql.conf: what goes in comes out, whatever it is."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibd.errors import ConfigError
from bibd.postgres import conf
from bibd.postgres.spec import ServerSpec
from tests.postgres.scenario import query, server_of, start

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
UNQUOTED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
NASTY = [
    "",
    "'",
    "''",
    "\\",
    "\\'",
    "a\nb",
    "\\n",
    "#",
    "é ☃ 😀",
    '"',
    "\r\t\b\f",
    "$x",
    " a ",
    "\\101",
    "'; x = 'y",
    "\x7f",
]


def parse(line: str) -> str:
    """As guc-file.l and DeescapeQuotedString read a quoted value; it fails on what they would not take."""
    assert re.fullmatch(r"'([^'\\\n]|\\.|'')*'", line)
    out: list[str] = []
    rest = line[1:-1]
    while rest:
        if rest.startswith("''"):
            out.append("'")
            rest = rest[2:]
        elif rest.startswith("\\"):
            assert rest[1] not in "01234567", "an octal escape"
            out.append(UNQUOTED.get(rest[1], rest[1]))
            rest = rest[2:]
        else:
            out.append(rest[0])
            rest = rest[1:]
    return "".join(out)


@given(TEXT)
def test_every_text_round_trips_through_the_servers_grammar(text: str) -> None:
    assert parse(conf.quote(text)) == text


def test_nasty_values_round_trip_through_a_real_server(prepared: ServerSpec) -> None:
    settings: dict[str, conf.Value] = {f"bibd.v{number}": text for number, text in enumerate(NASTY)}
    server = server_of(replace(prepared, settings=settings))
    start(server)
    for name, text in settings.items():
        assert query(server.app(), f"SHOW {name}") == [(text,)]


@pytest.mark.parametrize(("value", "text"), [(True, "on"), (False, "off"), (7, "'7'"), (0.5, "'0.5'")])
def test_numbers_and_switches_are_written_as_the_server_reads_them(value: conf.Value, text: str) -> None:
    assert conf.quote(value) == text


@pytest.mark.parametrize("name", ["port", "PORT", "listen_addresses", "hba_file", "include", "data_directory", "ssl"])
def test_settings_that_bibd_relies_on_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is set by bibd"):
        conf.check_settings({name: "x"})


@pytest.mark.parametrize("name", ["", "a b", "a=b", "1a", "a.b.c", "a\nport", "é", "a'"])
def test_names_that_are_no_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is not the name of a PostgreSQL setting"):
        conf.check_settings({name: "x"})


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_values_that_no_file_can_hold_are_refused(value: str) -> None:
    with pytest.raises(ConfigError):
        conf.check_settings({"work_mem": value})


@given(st.integers(min_value=1, max_value=4_000_000))
def test_memory_shares_stay_within_the_memory_or_the_floor(memory_mb: int) -> None:
    shares = {name: int(str(value).removesuffix("MB")) for name, value in conf.memory_settings(memory_mb).items()}
    assert shares["shared_buffers"] <= max(16, memory_mb * 0.4)
    assert shares["shared_buffers"] <= shares["effective_cache_size"] <= max(16, memory_mb)
    assert 16 <= shares["maintenance_work_mem"] <= 2048


def test_default_memory_gives_the_documented_quarter() -> None:
    assert conf.memory_settings(512)["shared_buffers"] == "128MB"


def test_settings_come_last_and_tls_only_when_there_is_tls() -> None:
    def rendered(tls: conf.Tls | None) -> str:
        return conf.render(
            bind_address="127.0.0.1",
            port=5432,
            run=Path('/r"u,n'),
            max_connections=10,
            memory_mb=512,
            cluster_name="bibd-x",
            tls=tls,
            settings={"work_mem": "1MB"},
        )

    plain = rendered(None)
    assert plain.endswith("work_mem = '1MB'\n")
    assert "ssl" not in plain
    assert 'unix_socket_directories = \'"/r""u,n"\'' in plain
    assert "ssl_key_file = '/k'" in rendered(conf.Tls(Path("/c"), Path("/k")))
