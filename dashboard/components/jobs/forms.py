"""A form out of a job's JSON Schema, and a command line out of what is filled in."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.components.base.places import ReadingError, allowed_path
from dashboard.components.base.text import plain

NOT_SAID = "not said"
_SAID = {
    "kd_lambda": "weight of the labels (λ)",
    "ema": "running mean of the weights (EMA)",
    "places": "share of the organs' places in the loss",
    "gpu": "GPUs",
    "cpus_per_worker": "CPU cores per worker",
    "disk_gb": "disk space (GB)",
    "options.apg": "options: APG",
    "options.mlam": "options: MLAM",
}
_TERMS = {"gpu": "GPU", "cpus": "CPUs", "gb": "GB", "hu": "HU", "nsd": "NSD", "ct": "CT", "warmup": "warm-up"}
"""What a name is in words, and words that are not written small."""
_LETTERS = {"DHW": ("D", "H", "W"), "xyz": ("x", "y", "z")}


@dataclass(frozen=True)
class Setting:
    """One setting of a job.

    Attributes:
        name: as in recipes, ``training.epochs``.
        kind: of one value: integer, number, boolean, string or path.
        value: the recipe's.
        about: from the setting's description.
        optional: may be left out (``None``).
        bounds: smallest and largest value allowed; what lies on a bound that is excluded the job itself refuses.
        choices: the only values allowed, where they are few.
        examples: values known to the schema; others are allowed.
        length: of a list of values; 0 for a single one.
    """

    name: str
    kind: str
    value: Any
    about: str = ""
    optional: bool = False
    bounds: tuple[float | None, float | None] = (None, None)
    choices: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    length: int = 0

    @property
    def section(self) -> str:
        """First part of its name; empty for a setting of the job itself."""
        return self.name.rpartition(".")[0].partition(".")[0]

    @property
    def label(self) -> str:
        """Its name without the section, in words."""
        own = self.name.removeprefix(f"{self.section}.")
        said = _SAID.get(own) or " ".join(_TERMS.get(word, word) for word in own.replace(".", ": ").split("_"))
        return said[:1].upper() + said[1:]


def settings(schema: Mapping[str, Any], values: Mapping[str, Any]) -> list[Setting]:
    """Every setting of a job, in the order of its schema (``--schema`` of the job gives both arguments)."""
    return list(_found(schema, schema.get("$defs", {}), values, ""))


def _found(
    part: Mapping[str, Any], known: Mapping[str, Any], values: Mapping[str, Any], prefix: str
) -> Iterator[Setting]:
    for key, described in part["properties"].items():
        if key not in values:
            continue  # what every command line has, and no form
        if "$ref" in described:
            section = known[described["$ref"].rpartition("/")[2]]
            yield from _found(section, known, values[key], f"{prefix}{key}.")
        elif described.get("type") == "object":
            yield from _options(f"{prefix}{key}", described, values[key])
        else:
            yield _setting(f"{prefix}{key}", described, values[key])


def _options(name: str, described: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Setting]:
    """Settings without a schema of their own have the type of the recipe's value."""
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    for key, value in values.items():
        yield Setting(f"{name}.{key}", kinds[type(value)], value, described.get("description", ""))


def _setting(name: str, described: Mapping[str, Any], value: Any) -> Setting:
    kinds = [each for each in described.get("anyOf", [described]) if each.get("type") != "null"]
    kind = kinds[0]
    one = kind["prefixItems"][0] if kind["type"] == "array" else kind
    low = one.get("minimum", one.get("exclusiveMinimum"))
    if one["type"] == "integer" and "exclusiveMinimum" in one:
        low = one["exclusiveMinimum"] + 1
    return Setting(
        name=name,
        kind="path" if one.get("format") == "path" else one["type"],
        value=value,
        about=described.get("description", "").replace("\n", " "),
        optional=any(each.get("type") == "null" for each in described.get("anyOf", [])),
        bounds=(low, one.get("maximum", one.get("exclusiveMaximum"))),
        choices=tuple(one.get("enum", ())),
        examples=tuple(described.get("examples", ())),
        length=len(kind.get("prefixItems", ())),
    )


def widget(setting: Setting, key: str) -> Any:
    """Draw a setting; gives what is filled in, ``None`` where an optional one is left empty."""
    if setting.length:
        return _row(setting, key)
    if setting.choices:
        return _choice(setting, setting.choices, key)
    if setting.kind == "boolean" and setting.optional:
        return _choice(setting, (None, True, False), key)
    if setting.kind == "boolean":
        return st.checkbox(plain(setting.label), setting.value, help=plain(setting.about), key=key)
    if setting.kind in ("integer", "number"):
        return _number(setting, setting.label, setting.value, key)
    return _text(setting, key)


def _choice(setting: Setting, options: tuple[Any, ...], key: str, **further: Any) -> Any:
    index = options.index(setting.value)
    return st.selectbox(
        plain(setting.label), options, index, format_func=_shown, help=plain(setting.about), key=key, **further
    )


def _shown(value: str | bool | None) -> str:
    if value is None:
        return NOT_SAID
    return str(value) if isinstance(value, str) else "yes" if value else "no"


def _number(setting: Setting, label: str, value: float | None, key: str) -> float | None:
    kind: Callable[[Any], Any] = int if setting.kind == "integer" else float  # Streamlit wants all of one type
    low, high, given = (None if number is None else kind(number) for number in (*setting.bounds, value))
    return st.number_input(
        plain(label),
        min_value=low,
        max_value=high,
        value=given,
        step=kind(1) if setting.kind == "integer" else _step(value),
        format="%d" if setting.kind == "integer" else "%g",
        placeholder=NOT_SAID,
        help=plain(setting.about),
        key=key,
    )


def _step(value: float | None) -> float:
    """A tenth of the value's power of ten: 0.0001 for 0.0018."""
    return 10.0 ** (math.floor(math.log10(abs(value))) - 1) if value else 0.1


def _row(setting: Setting, key: str) -> list[float | None] | None:
    """A box for each value of a list; none is filled in where the list is left out."""
    given = setting.value or [None] * setting.length
    letters = _LETTERS.get(setting.name.rpartition("_")[2], tuple(str(number + 1) for number in range(setting.length)))
    label = setting.label.removesuffix(f" {setting.name.rpartition('_')[2]}")
    filled = []
    for place, letter, value in zip(st.columns(setting.length), letters, given, strict=True):
        with place:
            filled.append(_number(setting, f"{label} {letter}", value, f"{key}-{letter}"))
    return filled if any(value is not None for value in filled) else None


def _text(setting: Setting, key: str) -> str | None:
    if setting.examples:
        known = ([None] if setting.optional else []) + list(setting.examples)
        return _choice(setting, tuple(dict.fromkeys([*known, setting.value])), key, accept_new_options=True)
    given, about = setting.value or "", plain(setting.about)
    text = st.text_input(plain(setting.label), given, placeholder=NOT_SAID, help=about, key=key).strip()
    return text or None


def arguments(known: list[Setting], filled: Mapping[str, Any]) -> list[str]:
    """The command line's words for what differs from the recipe; a word never is another setting's name.

    Raises:
        ReadingError: a text begins with a dash, a path is outside the allowed folders, or a setting is empty that
            must be given.
    """
    words = []
    for setting in known:
        value = filled.get(setting.name, setting.value)
        if value != setting.value:
            words += _words(setting, value)
    return words


def _words(setting: Setting, value: Any) -> list[str]:
    flag = f"--{setting.name.replace('_', '-')}"
    if (value is None and not setting.optional) or (isinstance(value, list) and None in value):
        raise ReadingError(f"{setting.name} must not be left empty{', nor a part of it' if setting.length else ''}.")
    if isinstance(value, bool) and not setting.optional:
        return [flag if value else _negated(flag)]
    if isinstance(value, list):
        return [flag, *(_word(setting, each) for each in value)]
    return [flag, _word(setting, value)]


def _negated(flag: str) -> str:
    """``--compute.memory-check`` → ``--compute.no-memory-check``."""
    section, dot, name = flag.removeprefix("--").rpartition(".")
    return f"--{section}{dot}no-{name}"


def _word(setting: Setting, value: Any) -> str:
    if setting.kind == "path" and value is not None:
        return str(allowed_path(value))
    if isinstance(value, str) and (value.startswith("-") or not value.isprintable()):
        raise ReadingError(f"{setting.name} cannot be {value[:80]!r}: it begins with a dash, or holds odd characters.")
    return repr(value) if isinstance(value, float) else str(value)
