"""How a person asked for a study, and the settings that this gives its columns."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autosam_models import find_model, model_names
from autosam_platform.command_line import load_recipe
from autosam_platform.studies.description import Changes, Column

DEMO = "demo"
"""The recipe with which a study is made at demo size, all its columns from embedded data."""


@dataclass(frozen=True)
class Asked:
    """How a person asked for a study.

    Attributes:
        recipe: by its name or file.
        recipes: folder of those that have names.
        told: what the command line says of the settings, which goes before all else, by dotted names.
        roots: folders of the raw scans by the keys of columns: where any is given, each column with its own recipe is
            made of it.
        seeds: trainings of each cell, with seeds from the recipe's on.
    """

    recipe: str
    recipes: Path
    told: Changes = field(default_factory=dict)
    roots: Mapping[str, Path] = field(default_factory=dict)
    seeds: int = 1

    @property
    def small(self) -> bool:
        """Whether the study is made at demo size."""
        return self.recipe == DEMO and not self.roots


def not_asked(column: Column, name: str, asked: Asked) -> str:
    """Why a column is not made; empty where it is."""
    if column.recipe is None or asked.small:
        return ""
    if asked.roots:
        return "" if name in asked.roots else f"no folder of its scans was given: --roots {name} FOLDER"
    return "" if column.recipe == asked.recipe else f"not asked for: --recipe {column.recipe} makes it"


def settings_of(column: Column, name: str, asked: Asked) -> dict[str, Any]:
    """The recipe's settings for a column, before the rows change them."""
    recipe = column.recipe if asked.roots and column.recipe is not None else asked.recipe
    settings = load_recipe(recipe, asked.recipes)
    if name in asked.roots:
        changed(settings, {"dataset.root": asked.roots[name]})
    # The teacher of a recipe that distils is the study's affair.
    settings.pop("distillation", None)
    return settings


def changed(settings: dict[str, Any], changes: Changes) -> None:
    """Change nested settings by dotted names, in place.

    Another model has not the options of the one before it, nor its checkpoint, unless the changes give them; one that
    is asked slice by slice has pictures of its own size.
    """
    name = changes.get("model.name")
    if name is not None and settings.get("model", {}).get("name") != name:
        kept = {key: value for key, value in settings.get("model", {}).items() if key not in ("options", "checkpoint")}
        settings["model"] = kept
        if name in model_names() and find_model(name).prompted:
            kept["patch_DHW"] = find_model(name).defaults["patch"]
    for dotted, value in changes.items():
        *sections, last = dotted.split(".")
        place = settings
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = deepcopy(value)
