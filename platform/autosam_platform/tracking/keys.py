"""Names of curves as keys that MLflow takes, and back.

MLflow refuses keys with other characters than letters, digits, ``_ . - / :`` and spaces, and those that are no path in
its shortest form. Organs are called what their dataset calls them, so each character that is refused is written as its
number, as SQL/XML does (ISO 9075-14): ``(`` is ``_x0028_``. Other names are their own keys.
"""

import re

_REFUSED = (
    r"[^\w.\-/: ]"
    r"|^/|/(?=/|\Z)"  # a path begins and ends with no slash, and has no empty part
    r"|(?<![^/])\.(?=\.?(?:/|\Z))"  # nor one that is . or ..
)
_HEX = "(?:10|[0-9A-F])?[0-9A-F]{4}"
_WRITTEN = re.compile(f"_x({_HEX})_")
_TO_WRITE = re.compile(f"{_REFUSED}|_(?=x{_HEX}(?:_|{_REFUSED}))")  # and what would be read as written so


def metric_key(name: str) -> str:
    """The key of a curve.

    >>> metric_key("val/dice/right kidney"), metric_key("val/dice/lesion (benign)")
    ('val/dice/right kidney', 'val/dice/lesion _x0028_benign_x0029_')
    """
    return _TO_WRITE.sub(lambda found: f"_x{ord(found[0]):04X}_", name)


def metric_name(key: str) -> str:
    """The name of the curve that has this key.

    >>> metric_name("val/dice/lesion _x0028_benign_x0029_")
    'val/dice/lesion (benign)'
    """
    return _WRITTEN.sub(lambda found: chr(int(found[1], 16)), key)
