"""Where files may be: in folders that this machine has, of its own or mounted; scans in an S3 store, too."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import parse_qsl

P = TypeVar("P", bound=str | Path | None)

_OPTIONS = ("region", "endpoint_override", "scheme", "anonymous")


@dataclass(frozen=True)
class StoreAddress:
    """A folder of an S3 store, ``s3://bucket/folder?region=…&endpoint_override=host:port&scheme=http&anonymous=true``.

    Attributes:
        folder: the objects' common beginning, without slashes at its ends; empty for the whole bucket.
        options: what follows the question mark.
    """

    bucket: str
    folder: str
    options: Mapping[str, str]

    def __str__(self) -> str:
        options = "&".join(f"{name}={value}" for name, value in self.options.items())
        return f"s3://{self.path}{f'?{options}' if options else ''}"

    @property
    def path(self) -> str:
        """Bucket and folder."""
        return f"{self.bucket}/{self.folder}".rstrip("/")

    @classmethod
    def parse(cls, place: str | Path) -> Self | None:
        """The address in ``place``, of whose slashes ``Path`` may have made one; None where it is a path.

        Raises:
            ValueError: it is of no S3 store, or not written as one; names what to do, and nothing that may be a key.
        """
        found = _parts(place)
        if found is None:
            return None
        scheme, rest = found
        if scheme != "s3":
            raise ValueError(
                f"{_without_secrets(scheme, rest)} is an address ({scheme}:), and of addresses only s3:// is read: "
                "mount it on every machine and name the folder"
            )
        if "@" in rest:
            raise ValueError(
                f"{_without_secrets(scheme, rest)} has keys before an '@', which would be kept in records: put them "
                "into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials"
            )
        where, _, asked = rest.partition("?")
        bucket, _, folder = where.strip("/").partition("/")
        options = dict(parse_qsl(asked, keep_blank_values=True))
        known = set(options) <= set(_OPTIONS) and options.get("anonymous", "true") == "true"
        if not known or not re.fullmatch(r"[A-Za-z0-9._-]+", bucket) or "/" in options.get("endpoint_override", ""):
            raise ValueError(
                f"{_without_secrets(scheme, rest)} is no address of a folder in a bucket: write s3://bucket/folder, "
                "and after a '?' region=…, endpoint_override=HOST:PORT, scheme=http or anonymous=true, with '&' "
                "between them"
            )
        return cls(bucket, folder.strip("/"), options)


def readable(place: P) -> P:
    """``place`` itself: a path, a name or None, or an address that scans can be read from.

    Raises:
        ValueError: an address that is none of an S3 store; see ``StoreAddress.parse``.
    """
    if place is not None:
        StoreAddress.parse(place)
    return place


def require_local(path: str | Path) -> None:
    """Refuse an address such as ``s3://bucket/scans``, which would quietly become a folder of that name here.

    Raises:
        ValueError: names what to do.
    """
    found = _parts(path)
    if found is not None:
        raise ValueError(
            f"{_without_secrets(*found)} is an address ({found[0]}:), and files are read and written in folders: "
            "mount it on every machine and name the folder"
        )


def _parts(place: str | Path) -> tuple[str, str] | None:
    """Scheme and the rest of an address; None of a path. A drive of Windows has one letter."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):[/\\]+(.*)", str(place), re.DOTALL)
    return (found[1].lower(), found[2].replace("\\", "/")) if found else None


def _without_secrets(scheme: str, rest: str) -> str:
    """The address without what stands before an ``@``, and without the values of its options."""
    where, question, _ = rest.rpartition("@")[2].partition("?")
    return f"{scheme}://{'…@' if '@' in rest else ''}{where}{'?…' if question else ''}"
