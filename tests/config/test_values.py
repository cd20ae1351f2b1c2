from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from bibd.config import values
from bibd.config.values import MAX_DURATION, MAX_SIZE, format_duration, format_size, parse_duration, parse_size

TEXT = values.Context(home="/home/ada")


def read(kind: Any, value: object) -> object:
    """``value`` as if it came from a file."""
    return TypeAdapter[Any](kind).validate_python(value, strict=True, context=TEXT)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("168h", 604800),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("7d", 604800),
        ("0", 0),
        ("0s", 0),
        ("1d2h3m4s5ms", 93784.005),
        ("0.1s", 0.1),
        ("90m", 5400),
    ],
)
def test_durations_are_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1 s", "30S", "5x", "1m1h", "1s1s", "1e3s", "inf", "nan", "٣s", "1.s"]
)
def test_text_that_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["30", "1.5", "00"])
def test_a_duration_without_unit_is_refused_and_told_the_unit(text: str) -> None:
    with pytest.raises(ValueError, match=f"has no unit: write {text}s"):
        parse_duration(text)


def test_durations_that_would_overflow_clocks_are_refused() -> None:
    assert parse_duration("87600h") == MAX_DURATION
    with pytest.raises(ValueError, match="too long"):
        parse_duration("87601h")


@given(st.floats(min_value=0, max_value=MAX_DURATION).map(lambda seconds: round(seconds, 6)))
@example(1e-6)
@example(0.001)
@example(MAX_DURATION)
def test_every_duration_survives_a_round_trip(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (30, "30s"), (604800, "168h"), (0.5, "500ms"), (5400.25, "1h30m250ms")]
)
def test_durations_are_shown_in_their_largest_units(seconds: float, text: str) -> None:
    assert format_duration(float(seconds)) == text


@given(st.text() | st.from_regex(r"[0-9.]{1,20}(d|h|m|s|ms|kB|MB|TB|KiB)?", fullmatch=True))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        assert 0 <= parse_duration(text) <= MAX_DURATION
    except ValueError as error:
        assert str(error)


@given(st.text() | st.from_regex(r"[0-9.]{1,20}(d|h|m|s|ms|kB|MB|TB|KiB)?", fullmatch=True))
def test_any_text_is_a_size_or_a_value_error(text: str) -> None:
    try:
        assert 0 <= parse_size(text) <= MAX_SIZE
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512MB", 512 * 2**20),
        ("10GB", 10 * 2**30),
        ("2TB", 2**41),
        ("1kB", 1024),
        ("1KB", 1024),
        ("1KiB", 1024),
        ("3MiB", 3 * 2**20),
        ("1.5GB", 3 * 2**29),
        ("7B", 7),
        ("4096", 4096),
        ("0", 0),
    ],
)
def test_sizes_are_read_as_bytes_counted_by_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1 MB", "1mb", "1XB", "0.1B", "9999999TB"])
def test_text_that_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is (not a|too)"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=MAX_SIZE))
def test_every_size_survives_a_round_trip(size: int) -> None:
    assert parse_size(format_size(size)) == size


def test_numbers_in_text_sources_need_units_but_python_gives_seconds() -> None:
    adapter = TypeAdapter[Any](values.Duration)
    assert adapter.validate_python(0.25) == 0.25
    for number in (30, 0.5, 1e300, float("inf"), float("nan"), True, -1):
        with pytest.raises(ValidationError):
            read(values.Duration, number)
    for number in (float("inf"), float("nan"), -1.0, MAX_DURATION + 1):
        with pytest.raises(ValidationError):
            adapter.validate_python(number)
    assert read(values.Duration, 0) == 0


@pytest.mark.parametrize("cron", ["", "*/5 * * * *", "@daily", "0 0 1-7 * sun", "30 4 * * 1,3"])
def test_cron_lines_of_five_fields_are_accepted(cron: str) -> None:
    assert read(values.Cron, cron) == cron


@pytest.mark.parametrize(
    "cron", ["* * *", "61 * * * *", "* * * * * *", "0 0 31 2 *", "@never", "a b c d e", "* * * * 9-99"]
)
def test_cron_lines_that_never_come_true_are_refused(cron: str) -> None:
    with pytest.raises(ValidationError, match="cron line"):
        read(values.Cron, cron)


@given(st.text(alphabet="0123456789*/,-LW#?RHh@ amdsunj", max_size=30))
def test_any_text_is_a_cron_line_or_refused(text: str) -> None:
    try:
        assert read(values.Cron, text) == text
    except ValidationError as error:
        assert "cron" in str(error)


@pytest.mark.parametrize("zone", ["", "UTC", "Europe/Zurich"])
def test_time_zones_of_the_database_are_accepted(zone: str) -> None:
    assert read(values.Timezone, zone) == zone


@pytest.mark.parametrize("zone", ["Mars", "Europe", "../../etc/passwd", "/etc/localtime", "Europe/../UTC", "a" * 5000])
def test_other_time_zones_are_refused(zone: str) -> None:
    with pytest.raises(ValidationError, match="IANA"):
        read(values.Timezone, zone)


@pytest.mark.parametrize(("text", "path"), [("", ""), ("/x", "/x"), ("~/x", "/home/ada/x"), ("~", "/home/ada")])
def test_paths_are_absolute_and_tilde_is_home(text: str, path: str) -> None:
    assert read(values.FilePath, text) == path


@pytest.mark.parametrize("text", ["x", "./x", "../x", "~bob/x", "/x\0", "/x\n"])
def test_paths_that_depend_on_where_bibd_runs_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        read(values.FilePath, text)


def test_tilde_without_a_home_is_refused() -> None:
    for home in ("", "relative"):
        with pytest.raises(ValidationError, match="HOME"):
            TypeAdapter[Any](values.FilePath).validate_python("~/x", context=values.Context(home=home))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "*", "db.example.org"])
def test_hosts_are_one_address_or_name(host: str) -> None:
    assert read(values.Host, host) == host


@pytest.mark.parametrize("host", ["", "a b", "127.0.0.1,::1", "host'", "a" * 300])
def test_other_hosts_are_refused(host: str) -> None:
    with pytest.raises(ValidationError):
        read(values.Host, host)
