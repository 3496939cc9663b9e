"""The one kind of error that a person can put right, and what a refused description is refused for."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

_LONGEST = 80  # characters of a value that is shown in a message


class UserError(Exception):
    """Something a person can put right; the message names the file or value, what is wrong and what to do.

    Jobs and pages show it without a traceback. Any other exception is a fault of ours and keeps its traceback.
    """


def reasons(error: ValidationError, *, flags: str = "") -> list[str]:
    """What is wrong with each value: its dotted name, the reason, and the value where that says more.

    Args:
        flags: how names begin on the command line (``--training.``), where they are written as there.
    """
    found = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        if flags and place:
            place = f"{flags}{place.replace('_', '-')}"
        message, given = _words(problem), f" (given: {_short(problem['input'])})"
        if problem["type"] == "extra_forbidden":
            message, given = "there is no such setting; --help lists them" if flags else "there is no such field", ""
        elif problem["type"] in ("missing", "value_error"):
            given = ""  # the first has none, the second is in our own words
        found.append(f"{place}: {message}{given}" if place else f"{message}{given}")
    return found


_PLAIN = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "too_short": "must have {min_length} values or more",
    "too_long": "must have {max_length} values at most",
}
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "a text",
    "path": "a path",
    "list": "a list",
    "tuple": "a list",
    "dict": "settings with names",
    "model": "settings with names",
}


def _words(problem: Mapping[str, Any]) -> str:
    """Pydantic's reason as we would say it; its own words where we have none."""
    kind = str(problem["type"])
    if kind in _PLAIN:
        return _PLAIN[kind].format(**problem.get("ctx", {}))
    name, _, of = kind.partition("_")
    if name in _KINDS and of in ("type", "parsing", "from_float", "number", "parsing_size", "attributes_type"):
        return f"must be {_KINDS[name]}"
    return problem["msg"].removeprefix("Value error, ")


def where(error: Exception) -> str:
    """Where a text is not YAML, without a word of what stands there, which may be a secret."""
    mark = getattr(error, "problem_mark", None)
    return "it holds characters of no text" if mark is None else f"see line {mark.line + 1}, column {mark.column + 1}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
