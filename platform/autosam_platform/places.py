"""Where files may be: in folders that this machine has, of its own or mounted; scans in an S3 store, too."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl

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
            ValueError: it is of no S3 store, or not written as one; names what to do, and no keys.
        """
        found = _parts(place)
        if found is None:
            return None
        scheme, rest = found
        if scheme != "s3":
            raise ValueError(
                f"{scheme}://{rest} is an address ({scheme}:), and of addresses only s3:// is read: mount it on every "
                "machine and name the folder"
            )
        where, _, asked = rest.partition("?")
        bucket, _, folder = where.strip("/").partition("/")
        if "@" in bucket:
            raise ValueError(
                f"s3://…@{bucket.rpartition('@')[2]} has keys in it, which would be kept in records: put them into "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials"
            )
        options = dict(parse_qsl(asked, keep_blank_values=True))
        if not bucket or set(options) - set(_OPTIONS) or options.get("anonymous", "true") != "true":
            raise ValueError(
                f"s3://{rest} is no address of a folder in a bucket: write s3://bucket/folder, and after a '?' "
                f"{', '.join(_OPTIONS[:3])} or anonymous=true, with '&' between them"
            )
        return cls(bucket, folder.strip("/"), options)


def _parts(place: str | Path) -> tuple[str, str] | None:
    """Scheme and the rest of an address; None of a path. A drive of Windows has one letter."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):[/\\]+(.*)", str(place))
    return (found[1].lower(), found[2]) if found else None


def require_local(path: Path) -> None:
    """Refuse an address such as ``s3://bucket/scans``, which would quietly become a folder of that name here.

    Raises:
        ValueError: names what to do.
    """
    found = _parts(path)
    if found is not None:
        raise ValueError(
            f"{found[0]}://{found[1]} is an address ({found[0]}:), and files are read and written in folders: mount it "
            "on every machine and name the folder"
        )
