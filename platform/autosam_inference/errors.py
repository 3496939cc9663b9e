"""The one kind of error that a person can put right, and what a refused description is refused for."""

from pydantic import ValidationError

_LONGEST = 80  # characters of a value that is shown in a message


class UserError(Exception):
    """Something a person can put right; the message names the file or value, what is wrong and what to do.

    Jobs and pages show it without a traceback. Any other exception is a fault of ours and keeps its traceback.
    """


def reasons(error: ValidationError, *, flags: bool = False) -> list[str]:
    """What is wrong with each value: its dotted name, the reason, and the value where that says more.

    Args:
        flags: names are written as on the command line, ``--training.warmup-epochs``.
    """
    found = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        if flags and place:
            place = f"--{place.replace('_', '-')}"
        message, given = problem["msg"].removeprefix("Value error, "), f" (given: {_short(problem['input'])})"
        if problem["type"] == "extra_forbidden":
            message, given = "there is no such setting; --help lists them" if flags else "there is no such field", ""
        elif problem["type"] in ("missing", "value_error"):
            given = ""  # the first has none, the second is in our own words
        found.append(f"{place}: {message}{given}" if place else f"{message}{given}")
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
