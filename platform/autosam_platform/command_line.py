"""How recipes (YAML) and then the command line fill the description of an experiment, or of any job."""

import argparse
import codecs
import contextlib
import functools
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import tyro
import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructTypeInfo

from autosam_inference.errors import reasons, where
from autosam_models import find_model, model_names
from autosam_platform.experiment import ConfigError, Experiment, Section
from autosam_platform.workspace import settings_at

T = TypeVar("T", bound=BaseModel)
J = TypeVar("J", bound="Job")


class CommandLine(Section):
    """What every job can be asked beside its settings."""

    as_json: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print the result as one JSON object on the last line."""
    check: bool = False
    """Print the resolved settings as YAML and end, without doing the job; status 2 where one is wrong by itself.
    Whether runs and scans are there is seen when the job starts."""
    as_schema: Annotated[bool, tyro.conf.arg(name="schema")] = False
    """Print what can be set (JSON Schema) and the recipe's values as one JSON object and end; forms are made of it."""

    def settings(self) -> dict[str, Any]:
        """The job's own settings, as plain values."""
        return self.model_dump(mode="json", exclude=set(CommandLine.model_fields))

    def end_if_checked(self) -> None:
        """Print the settings and end the process, where that is all that was asked: for jobs to call once they know
        that the settings can be run, and before they import what takes seconds.
        """
        if self.check:
            end_with(self.settings())


class Job(Experiment, CommandLine):
    """An experiment as a command line: a recipe first, settings after it."""

    recipe: str = "demo"
    """A recipe in jobs/recipes by its name (demo, distill, distill_swin, torso, torso_student, torso_few,
    torso_few_tiny, one_scan, btcv, amos, ct_org, pelvic, sam, medsam, sam_demo), or a YAML file."""

    def experiment(self) -> Experiment:
        """The experiment without what only the command line needs."""
        return Experiment.model_validate(self.model_dump(include=set(Experiment.model_fields)))


@contextlib.contextmanager
def until_the_reader_leaves() -> Iterator[None]:
    """For what is printed to be read: a reader who has seen enough, as in ``--help | head``, ends the process quietly.

    Raises:
        SystemExit: status 1, with which Python itself answers a closed pipe.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more as it ends
        raise SystemExit(1) from None


def end_with(settings: dict[str, Any]) -> NoReturn:
    """Print settings as YAML and end the process."""
    with until_the_reader_leaves():
        print(yaml.safe_dump(settings, sort_keys=False), end="")
    raise SystemExit(0)


def load_recipe(name: str, folder: Path, kind: str = "recipe") -> dict[str, Any]:
    """Read a recipe: the name of one in ``folder``, or a path to a YAML file.

    Args:
        kind: what such files are called where there is none of that name.

    Raises:
        ConfigError: there is no such recipe, or it is not a YAML mapping.
    """
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    path = folder / f"{name}.yaml" if name in known else Path(name)
    if not path.is_file():
        raise ConfigError(f"no {kind} '{name}': name one of {', '.join(known)}, or a YAML file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {where(error)}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no settings: a {kind} is a YAML mapping such as `training: {{epochs: 10}}`")
    return settings_at(path, content)


def parse_job(arguments: Sequence[str], recipes: Path, *, description: str) -> Job:
    """The recipe that ``--recipe`` names, with the command line over it.

    Raises:
        SystemExit: status 2 after a message naming the setting, what is wrong with it and what is allowed.
    """
    return parse_kind_of_job(Job, arguments, recipes, description=description)


def parse_kind_of_job(
    kind: type[J],
    arguments: Sequence[str],
    recipes: Path,
    *,
    description: str,
    recipe: str | None = None,
    network: str | None = None,
) -> J:
    """The recipe that ``--recipe`` names, with the command line over it, for a job with settings of its own.

    Args:
        recipe: the one that is taken where the command line names none; the job's own where none is given.
        network: the flag of the job's setting ``network``, where it has one: the name of a model that takes the place
            of the recipe's, whose options and checkpoint go with it. Told nothing, it is the recipe's own model where
            that is no teacher, else the setting's default.
    """
    speak_plainly()
    name = told_first(arguments, "--recipe", recipe or kind.model_fields["recipe"].default)
    try:
        values = load_recipe(name, recipes) | {"recipe": name}
        if network is not None:
            own = values.get("network") or _own_student(values) or kind.model_fields["network"].default
            values = _with_network(values, told_first(arguments, network, own))
        job = parse(kind, arguments, description=description, defaults=values)
        job.require_files()
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
    return job


_PLAIN_SIGNS = {
    "×": "x",
    "–": "-",
    "—": "-",
    "−": "-",
    "·": ".",
    "…": "...",
    "λ": "lambda",
    "→": "->",
    "±": "+-",
    "≤": "<=",
}


def speak_plainly() -> None:
    """Where the terminal's encoding lacks a sign, write one that it has: a message must never end a job."""

    def plain(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        text = error.object[error.start : error.end]
        return "".join(_PLAIN_SIGNS.get(sign, "?") for sign in text), error.end

    codecs.register_error("plain", plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def told_first(arguments: Sequence[str], flag: str, otherwise: str) -> str:
    """A setting that is read ahead of all the others, since their defaults depend on it; ``otherwise`` if not told."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument(flag, dest="told", default=otherwise)
    try:
        return str(first.parse_known_args(arguments)[0].told)
    except argparse.ArgumentError:  # it has no value, which is refused when all the settings are read
        return otherwise


def told_settings(kind: type[J], arguments: Sequence[str], job: J) -> dict[str, Any]:
    """What a command line says of an experiment's settings, by dotted names, as ``job`` has read it: also where it says
    what is so anyway.
    """
    known = {"name": ("name",)}
    for section, field in Experiment.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, Section):
            for name, setting in part.model_fields.items():
                aliases = [alias for each in setting.metadata for alias in getattr(each, "aliases", None) or ()]
                own = [f"{section}.{name}", f"{section}.no_{name}", *(alias.removeprefix("--") for alias in aliases)]
                known |= {flag.replace("-", "_"): (section, name) for flag in own}
    told: dict[str, Any] = {}
    for argument in arguments:
        flag = argument.partition("=")[0].removeprefix("--").replace("-", "_")
        if argument.startswith("--") and flag in known:
            value: Any = job
            for name in known[flag]:
                value = getattr(value, name)
            told[".".join(known[flag])] = value
    return told


def _own_student(recipe: dict[str, Any]) -> str | None:
    """The recipe's model, if it is one that a job may train in place of a teacher."""
    section = recipe.get("model")
    name = section.get("name") if isinstance(section, dict) else None
    return name if name in model_names() and find_model(name).role != "teacher" else None


def _with_network(recipe: dict[str, Any], name: str) -> dict[str, Any]:
    """The recipe with another model, which has neither the options of the recipe's own nor its checkpoint."""
    section = recipe.get("model", {})
    if not isinstance(section, dict):
        return recipe  # which is refused for it when all of it is read
    if section.get("name") != name:
        kept = {key: value for key, value in section.items() if key not in ("options", "checkpoint")}
        if name in model_names() and find_model(name).prompted:  # it sees slices, whatever patches the recipe has
            kept["patch_DHW"] = find_model(name).defaults["patch"]
        recipe = recipe | {"name": f"{recipe.get('name', 'autosam')}-{name}", "model": kept | {"name": name}}
    return recipe | {"network": name}


def parse(kind: type[T], arguments: Sequence[str], *, description: str, defaults: dict[str, Any] | None = None) -> T:
    """Fill ``kind`` from ``defaults`` and then the command line; print the reason and leave where that fails.

    Raises:
        SystemExit: status 2 after a message naming the setting, what is wrong with it and what is allowed; status 0
            after the schema, where that is asked for.
    """
    speak_plainly()
    try:
        start = _unchecked(kind, defaults or {})
        if "--schema" in arguments:  # before the command line has to be complete
            with until_the_reader_leaves():
                print(json.dumps({"schema": kind.model_json_schema(), "values": _plain(start)}))
            raise SystemExit(0)
        with _sections_of(kind), until_the_reader_leaves():
            return tyro.cli(kind, default=start, args=list(arguments), description=description)
    except ConfigError as error:
        print(error, file=sys.stderr)
    raise SystemExit(2)


def _sections_of(kind: type[BaseModel]) -> ConstructorRegistry:
    """``kind`` and its sections, telling in our own words what is wrong with them.

    tyro prints pydantic's, with all that was given, which may hold a secret.
    """
    flags: dict[type[BaseModel], str] = {kind: "--"}
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            flags[field.annotation] = f"--{name}."
    registry, asked = ConstructorRegistry(), list[StructTypeInfo]()

    @registry.struct_rule
    def _section(info: StructTypeInfo) -> Any:
        if asked or info.type not in flags:
            return None
        asked.append(info)  # so that the next to be asked is tyro's own rule
        try:
            spec = ConstructorRegistry.get_struct_spec(info)
        finally:
            asked.clear()
        assert isinstance(spec, StructConstructorSpec)  # since tyro knows pydantic's classes
        return replace(spec, instantiate=functools.partial(_made, spec.instantiate, flags[info.type]))

    return registry


def _made(section: Callable[..., Any], flags: str, /, **values: Any) -> Any:
    try:
        return section(**values)
    except ValidationError as error:
        raise ConfigError("\n".join(reasons(error, flags=flags))) from error


def _unchecked(kind: type[T], values: dict[str, Any], prefix: str = "") -> T:
    """``kind`` with ``values``, whose types are checked but not how they go together.

    A recipe may need the command line to be complete (`--dataset.root`); the checks across settings run when
    tyro builds the final object.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{prefix.rstrip('.')} is a section, not a value: give its settings")
    unknown = sorted(set(values) - set(kind.model_fields))
    if unknown:
        known = ", ".join(kind.model_fields)
        raise ConfigError(f"there is no setting '{prefix}{unknown[0]}'; in its place there are {known}")
    filled: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, Section):
            filled[name] = _unchecked(part, values.get(name, {}), f"{prefix}{name}.")
        elif name in values:
            filled[name] = _checked_value(kind, name, values[name], prefix)
        elif not field.is_required():
            filled[name] = field.get_default(call_default_factory=True)
    return kind.model_construct(**filled)


def _plain(start: BaseModel) -> dict[str, Any]:
    return start.model_dump(mode="json", exclude=set(CommandLine.model_fields))


def _checked_value(kind: type[BaseModel], name: str, value: Any, prefix: str) -> Any:
    field = kind.model_fields[name]
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    try:
        return TypeAdapter(annotation).validate_python(value)
    except ValidationError as error:
        raise ConfigError(f"{prefix}{name}: {'; '.join(reasons(error))}") from error
