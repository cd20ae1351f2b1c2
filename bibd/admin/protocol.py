"""JSON-RPC 2.0 (https://www.jsonrpc.org/specification), one message a line: parse and encode, no sockets.

Narrower than the standard on purpose: every request has an ``id`` (no notifications to the server), ``params`` is an
object, batches are refused, and JSON is RFC 8259's (no NaN, no duplicate keys).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from bibd.admin import strict_json
from bibd.admin.methods import METHODS, Method
from bibd.errors import BibdError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

RequestId = str | int | None

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
# -32000 to -32099 are the server's own.
FAILED, UNAVAILABLE, REFUSED, INTEGRITY, CONFIGURATION, FORBIDDEN, BUSY = range(-32000, -32007, -1)
_CODE_OF_EXIT = {1: FAILED, 2: INVALID_PARAMS, 3: UNAVAILABLE, 4: REFUSED, 5: INTEGRITY, 78: CONFIGURATION}

# An id is echoed in every message about its request.
ID_CHARACTERS = 128
ID_BITS = 63


class ProtocolError(BibdError):
    """A message that is refused; ``request_id`` when it could be read."""

    def __init__(self, code: int, message: str, hint: str = "", request_id: RequestId = None) -> None:
        super().__init__(message, hint, 2 if code == INVALID_PARAMS else 1)
        self.code = code
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Request:
    id: str | int
    method: Method
    params: object


def parse(line: bytes) -> Request:
    """One line, with or without its newline. Raises ProtocolError."""
    try:
        message = strict_json.loads(line)
    except strict_json.DuplicateKeyError:
        raise ProtocolError(INVALID_REQUEST, "a key occurs twice") from None
    except (ValueError, RecursionError):
        raise ProtocolError(PARSE_ERROR, "not JSON", "one UTF-8 JSON object a line, not nested deeply") from None
    if isinstance(message, list):
        raise ProtocolError(INVALID_REQUEST, "batches are not supported", "send one request a line")
    if not isinstance(message, dict):
        raise ProtocolError(INVALID_REQUEST, "a request is a JSON object")
    members = cast("dict[str, object]", message)
    request_id = members.get("id")
    if not _is_id(request_id):
        hint = f"a string of at most {ID_CHARACTERS} characters or a {ID_BITS + 1}-bit integer"
        raise ProtocolError(INVALID_REQUEST, 'every request needs an "id"', hint)
    if members.get("jsonrpc") != "2.0":
        raise ProtocolError(INVALID_REQUEST, '"jsonrpc" must be "2.0"', request_id=request_id)
    if not isinstance(name := members.get("method"), str):
        raise ProtocolError(INVALID_REQUEST, '"method" must be a string', request_id=request_id)
    if unknown := members.keys() - {"jsonrpc", "id", "method", "params"}:
        raise ProtocolError(INVALID_REQUEST, f"unknown member {min(unknown)[:64]!r}", request_id=request_id)
    method = METHODS.get(name)
    if method is None:
        raise ProtocolError(METHOD_NOT_FOUND, f"no method {name[:64]!r}", _nearest(name), request_id)
    return Request(request_id, method, _params(method, members.get("params", {}), request_id))


def result_line(request_id: RequestId, value: object) -> bytes:
    """Raises TypeError or ValueError for what JSON cannot hold."""
    return _line({"jsonrpc": "2.0", "id": request_id, "result": value})


def error_line(request_id: RequestId, error: BibdError) -> bytes:
    code = error.code if isinstance(error, ProtocolError) else _CODE_OF_EXIT.get(error.exit_code, FAILED)
    data = {"hint": error.hint, "exit_code": error.exit_code}
    return _line({"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": error.message, "data": data}})


def progress_line(request_id: RequestId, value: Mapping[str, object]) -> bytes:
    """Raises TypeError or ValueError for what JSON cannot hold."""
    return _line({"jsonrpc": "2.0", "method": "progress", "params": {**value, "id": request_id}})


def _line(message: Mapping[str, object]) -> bytes:
    return strict_json.dumps(message) + b"\n"


def _is_id(value: object) -> TypeGuard[str | int]:
    if isinstance(value, str):
        return len(value) <= ID_CHARACTERS
    return isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= ID_BITS


def _params(method: Method, value: object, request_id: RequestId) -> object:
    from pydantic import ValidationError

    if not isinstance(value, dict):
        raise ProtocolError(INVALID_PARAMS, '"params" must be an object', request_id=request_id)
    try:
        # Through JSON, since in strict mode pydantic makes a dataclass of JSON but not of a dict.
        return _adapter(method.params).validate_json(json.dumps(value), strict=True)
    except RecursionError:
        raise ProtocolError(PARSE_ERROR, "not JSON: nested too deeply", request_id=request_id) from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part)[:64] for part in first["loc"]) or "params"
        raise ProtocolError(INVALID_PARAMS, f"{method.name}: {where}: {first['msg']}", request_id=request_id) from None


def prepare() -> None:
    """Build what the first request would otherwise wait for."""
    for method in METHODS.values():
        _adapter(method.params)


@cache
def _adapter(params: type) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(params)


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    nearest = get_close_matches(name[:64], METHODS, n=1)
    return f"did you mean {nearest[0]}?" if nearest else f"one of: {', '.join(METHODS)}"
