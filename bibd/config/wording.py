"""The errors of pydantic in the words of an operator."""

from __future__ import annotations

from typing import cast, get_args

from pydantic_core import ErrorDetails

from bibd.config import fields
from bibd.config.redaction import shown

_TEXTS = {
    "bool_type": "must be true or false, not {given}",
    "int_type": "must be a whole number, not {given}",
    "int_from_float": "must be a whole number, not {given}",
    "float_type": "must be a number, not {given}",
    "finite_number": "must be a number, not {given}",
    "string_type": "must be text (in quotes when it looks like something else), not {given}",
    "tuple_type": "must be a list, such as [a, b], not {given}",
    "dict_type": "must be a mapping, such as {{work_mem: 8MB}}, not {given}",
    "greater_than": "must be more than {gt}, not {given}",
    "greater_than_equal": "must be at least {ge}, not {given}",
    "less_than_equal": "must be at most {le}, not {given}",
}


def said(key: str, dotted: str, detail: ErrorDetails) -> str:
    """What is wrong with the value of ``key``, or with what lies deeper in it at ``dotted``."""
    given = shown(dotted, cast("object", detail["input"]))
    context = detail.get("ctx", {})
    if detail["type"] == "literal_error":
        return f"must be {choices(key)}, not {given}"
    if detail["type"] == "value_error":
        text = str(context["error"])
        # What is wrong with a name in a mapping needs no value.
        return text if text.startswith("must") or detail["loc"][-1] == "[key]" else f"{given} {text}"
    return _TEXTS.get(detail["type"], "is not valid").format(given=given, **context)


def choices(key: str) -> str:
    """The values that ``key`` may have: ``full, selective or proxy``."""
    *first, last = (written(choice) for choice in get_args(fields.fields()[key].annotation))
    return f"{', '.join(first)} or {last}"


def written(choice: object) -> str:
    """A constant of the model as one writes it in the file."""
    if isinstance(choice, bool):
        return str(choice).lower()
    return "[]" if choice == () else str(choice) if choice != "" else '""'
