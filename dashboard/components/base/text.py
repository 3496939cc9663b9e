"""Names from files and folders, shown as they are: never as Markdown or HTML."""

import re

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~<>$:&^=])")


def plain(text: object) -> str:
    """Escape ``text`` for places that render Markdown (titles, captions, messages, pills)."""
    return _MARKDOWN.sub(r"\\\1", " ".join(str(text).split()))


def file_size(count: int) -> str:
    """Bytes as people read them.

    >>> file_size(38_739_145), file_size(41_300), file_size(12)
    ('38.7 MB', '41.3 kB', '12 bytes')
    """
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e3:.1f} kB" if count < 1_000_000 else f"{count / 1e6:.1f} MB"


def duration(seconds: float | None) -> str:
    """``h:mm:ss``, or an empty text where nothing is known."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def score(value: float | None) -> str:
    """A Dice or NSD (a share) as pages write it; a dash where it is undefined (``None`` or NaN).

    >>> score(0.8715), score(None)
    ('87.15 %', '–')
    """
    return "–" if value is None or value != value else f"{100 * value:.2f} %"


def probability(p: float) -> str:
    """A p as the texts of comparisons write it; a dash where there is none (NaN).

    >>> probability(0.5), probability(0.03125)
    ('0.5', '0.0312')
    """
    return "–" if p != p else f"{p:.3g}"


def millimetres(value: float | None) -> str:
    """A distance with its unit; a dash where it is undefined (``None`` or NaN)."""
    return "–" if value is None or value != value else f"{value:.1f} mm"
