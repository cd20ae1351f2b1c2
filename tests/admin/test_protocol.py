"""bibd.admin.protocol, strict_json, methods and schema: pure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from bibd.admin import protocol
from bibd.admin.call import Call, Peer
from bibd.admin.methods import (
    METHODS,
    AddRecoveryKitParams,
    ForceParams,
    MigrateParams,
    NoParams,
    OperationParams,
    RecoveryKitParams,
    ShutdownParams,
)
from bibd.admin.protocol import ProtocolError, Request
from bibd.admin.schema import Status, timestamp
from bibd.errors import BibdError, ConfigError, IntegrityError, RefusedError, UnreachableError
from tests.admin.fake_daemon import answer, node_status
from tests.admin.raw import request

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
members = st.sampled_from(["jsonrpc", "id", "method", "params", "x"])


def refusal(line: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        protocol.parse(line)
    return caught.value


def test_a_request_becomes_its_method_and_parameter_object() -> None:
    assert protocol.parse(request(7)) == Request(7, METHODS["status"], NoParams())
    parsed = protocol.parse(b'{"id":"a","params":{"force":true},"method":"shutdown","jsonrpc":"2.0"}\r\n')
    assert parsed == Request("a", METHODS["shutdown"], ShutdownParams(force=True))
    assert protocol.parse(b'{"jsonrpc":"2.0","id":0,"method":"shutdown"}').params == ShutdownParams(force=False)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", protocol.PARSE_ERROR),
        (b"\n", protocol.PARSE_ERROR),
        (b"{", protocol.PARSE_ERROR),
        (b"\xff\xfe\x00", protocol.PARSE_ERROR),
        (b"[" * 60_000, protocol.PARSE_ERROR),
        (b'{"a":' * 10_000, protocol.PARSE_ERROR),
        (b"9" * 5_000, protocol.PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"status","params":{"a":NaN}}', protocol.PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":-Infinity,"method":"status"}', protocol.PARSE_ERROR),
        (b"{} {}", protocol.PARSE_ERROR),
        (b"null", protocol.INVALID_REQUEST),
        (b'"status"', protocol.INVALID_REQUEST),
        (b"{}", protocol.INVALID_REQUEST),
        (b"[" + request().strip() + b"]", protocol.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"status"}', protocol.INVALID_REQUEST),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"shutdown","params":{"force":false,"force":true}}',
            protocol.INVALID_REQUEST,
        ),
        (b'{"jsonrpc":"2.0","method":"shutdown"}', protocol.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":null,"method":"shutdown"}', protocol.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"status"}', protocol.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":true,"method":"status"}', protocol.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":{},"method":"status"}', protocol.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1e400,"method":"status"}', protocol.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":' + b"9" * 4000 + b',"method":"status"}', protocol.INVALID_REQUEST),
        (request("i" * 129), protocol.INVALID_REQUEST),
        (b'{"jsonrpc":"1.0","id":1,"method":"status"}', protocol.INVALID_REQUEST),
        (b'{"id":1,"method":"status"}', protocol.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', protocol.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"status","extra":1}', protocol.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', protocol.INVALID_REQUEST),
        (request(method="nothing"), protocol.METHOD_NOT_FOUND),
        (request(method="__class__"), protocol.METHOD_NOT_FOUND),
        (b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}', protocol.METHOD_NOT_FOUND),
        (b'{"jsonrpc":"2.0","id":1,"method":"status","params":[]}', protocol.INVALID_PARAMS),
        (b'{"jsonrpc":"2.0","id":1,"method":"status","params":null}', protocol.INVALID_PARAMS),
        (request(force=True), protocol.INVALID_PARAMS),
        (request(method="shutdown", force="yes"), protocol.INVALID_PARAMS),
        (request(method="shutdown", force=1), protocol.INVALID_PARAMS),
        (request(method="shutdown", forse=True), protocol.INVALID_PARAMS),
        (request(method="shutdown", **{"\ud800": 1}), protocol.INVALID_PARAMS),
        (
            b'{"jsonrpc":"2.0","id":1,"method":"status","params":{"a":' + b"[" * 300 + b"]" * 300 + b"}}",
            protocol.INVALID_PARAMS,
        ),
    ],
)
def test_each_kind_of_bad_message_has_its_code(line: bytes, code: int) -> None:
    error = refusal(line)
    assert error.code == code
    assert json.loads(protocol.error_line(error.request_id, error))["error"]["code"] == code


@pytest.mark.parametrize(
    "line", [request(5, method="nothing"), request(5, x=1), b'{"id":5,"jsonrpc":"2","method":"status"}']
)
def test_a_refusal_carries_the_id_when_it_could_be_read(line: bytes) -> None:
    assert refusal(line).request_id == 5


def test_a_mistyped_method_is_told_the_nearest() -> None:
    assert refusal(request(method="statuss")).hint == "did you mean status?"
    assert "db.url" in refusal(request(method="zzzz")).hint


def test_a_refusal_does_not_repeat_the_parameters() -> None:
    assert "hunter2" not in str(refusal(request(method="shutdown", force="hunter2")))


@given(st.binary(max_size=300) | st.dictionaries(members, json_values).map(lambda value: json.dumps(value).encode()))
def test_any_line_is_parsed_or_refused_with_a_sendable_error(line: bytes) -> None:
    try:
        parsed = protocol.parse(line)
    except ProtocolError as error:
        assert json.loads(protocol.error_line(error.request_id, error))["error"]["code"] <= -32000
    else:
        assert parsed.method.name in METHODS


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BibdError("x"), protocol.FAILED),
        (UnreachableError("x"), protocol.UNAVAILABLE),
        (RefusedError("x"), protocol.REFUSED),
        (IntegrityError("x"), protocol.INTEGRITY),
        (ConfigError("x"), protocol.CONFIGURATION),
        (BibdError("x", exit_code=99), protocol.FAILED),
    ],
)
def test_an_error_keeps_its_exit_code_hint_and_message(error: BibdError, code: int) -> None:
    error.hint = "do it again"
    assert json.loads(protocol.error_line("id", error)) == {
        "jsonrpc": "2.0",
        "id": "id",
        "error": {"code": code, "message": "x", "data": {"hint": "do it again", "exit_code": error.exit_code}},
    }


def test_progress_names_its_request_whatever_the_handler_calls_it() -> None:
    message = json.loads(protocol.progress_line(3, {"id": "other", "done": 0.5}))
    assert message == {"jsonrpc": "2.0", "method": "progress", "params": {"id": 3, "done": 0.5}}
    assert "id" not in message  # else it would be a request


@given(json_values)
def test_every_message_is_one_line_of_ascii(value: Any) -> None:
    try:
        line = protocol.result_line(1, value)
    except ValueError:
        assert "nan" in repr(value) or "inf" in repr(value)
    else:
        assert line.isascii()
        assert line.index(b"\n") == len(line) - 1
        assert json.loads(line)["result"] == json.loads(json.dumps(value))


@pytest.mark.parametrize("value", [float("nan"), object(), Status, {1, 2}])
def test_what_json_cannot_hold_raises(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        protocol.result_line(1, value)


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_answers_survive_the_wire_unchanged(method: Any) -> None:
    needed: dict[type, dict[str, Any]] = {
        OperationParams: {"id": "17"},
        ForceParams: {"version": 5},
        AddRecoveryKitParams: {"public": ""},
        RecoveryKitParams: {"fingerprint": ""},
    }
    value = answer(Call(method.name, method.params(**needed.get(method.params, {})), Peer(1, 1, 1)))
    received = json.loads(protocol.result_line(1, value))["result"]
    assert TypeAdapter(method.result).validate_json(json.dumps(received)) == value


def test_status_has_exactly_the_stable_fields() -> None:
    status = json.loads(protocol.result_line(1, node_status()))["result"]
    assert list(status) == [
        "state", "node_id", "mode", "backend", "runtime", "pid", "started_at", "ready_at", "children",
        "database", "migrations", "backups", "shutdown",
    ]  # fmt: skip
    child = status["children"][0]
    assert list(child) == [
        "id", "state", "generation", "restarts", "started_at", "ready_at", "last_error", "children"
    ]  # fmt: skip
    assert list(status["database"]) == ["state", "version", "url", "last_probe"]
    assert list(status["migrations"]) == ["state", "version", "pending", "action"]
    assert list(status["backups"]) == ["last", "next", "score"]


def test_only_what_changes_or_reveals_is_audited() -> None:
    assert {name for name, method in METHODS.items() if method.audited} == {
        "db.url", "ops.cancel", "migrate.run", "migrate.reset", "migrate.force", "reload", "shutdown",
        "recovery_kit.add", "recovery_kit.remove",
    }  # fmt: skip


@pytest.mark.parametrize(
    "params",
    [
        {"goal": "down"},
        {"goal": "down", "count": 0},
        {"goal": "down", "count": 1, "version": 3},
        {"goal": "down", "count": 1, "adopt": True},
        {"goal": "up", "count": -1},
        {"goal": "up", "version": 3},
        {"goal": "goto"},
        {"goal": "goto", "version": -1},
        {"goal": "goto", "version": 2**63},
        {"goal": "goto", "version": 3, "count": 1},
        {"goal": "sideways"},
        {"count": "1"},
    ],
)
def test_a_goal_that_makes_no_sense_is_refused_before_the_daemon_sees_it(params: dict[str, object]) -> None:
    assert refusal(request(method="migrate.run", **params)).code == protocol.INVALID_PARAMS
    assert refusal(request(method="migrate.plan", **params)).code == protocol.INVALID_PARAMS


def test_goals_are_understood() -> None:
    assert protocol.parse(request(method="migrate.run")).params == MigrateParams("up", None, None, adopt=False)
    assert protocol.parse(request(method="migrate.plan", goal="goto", version=0)).params == MigrateParams(
        "goto", version=0
    )
    assert refusal(request(method="migrate.force", version=-1)).code == protocol.INVALID_PARAMS


def test_times_are_rfc_3339_in_utc() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1_769_903_999.1234) == "2026-01-31T23:59:59.123Z"
