"""A bundle that was opened: its card, and its files, each compared with the hash that the card has of it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from autosam_inference.bundle.card import CARD, BundleCard, BundleError, read_bundle_card
from autosam_inference.bundle.files import BundleFiles, bundle_files

_LARGEST_CARD = 16 << 20


def is_bundle(place: Path | str) -> bool:
    """Whether a path is for ``Bundle.load``: a file, or a folder with a bundle's card. A run's model is neither."""
    place = Path(place)
    return place.is_file() or (place / CARD).is_file()


@dataclass(frozen=True)
class Bundle:
    """A bundle; one that was loaded is whole, and unchanged since it was exported.

    Nothing in it is run: descriptions are JSON, networks are graphs that a runtime interprets.

    Attributes:
        place: its folder or zip.
        card: what it says of itself.
        files: where its files are read from.
    """

    place: Path
    card: BundleCard
    files: BundleFiles

    @classmethod
    def load(cls, place: Path | str) -> Self:
        """Open a folder or zip and compare every file with its hash.

        Raises:
            BundleError: it is none, of a newer schema, leads out of itself, lacks a file or has one that its card does
                not know, or a byte was changed; the message names the file.
        """
        bundle = cls.describe(place)
        bundle._require_whole()
        for name in bundle.card.files:
            bundle._compared(name, keep=False)
        return bundle

    @classmethod
    def describe(cls, place: Path | str) -> Self:
        """Open a bundle for what its card says, and leave the other files for when they are read.

        Raises:
            BundleError: it is none, of a newer schema, or leads out of itself.
        """
        place = Path(place)
        files = bundle_files(place)
        if files.sizes.get(CARD, 0) > _LARGEST_CARD:
            raise BundleError(f"{place}: {CARD} has {files.sizes[CARD]:,} bytes, which no card has: refused.")
        if CARD not in files.sizes:
            raise BundleError(
                f"{place} holds no {CARD}, so it is no bundle: name what python jobs/export.py wrote, a folder or zip."
            )
        return cls(place, read_bundle_card(b"".join(files.pieces(CARD)), str(place)), files)

    @property
    def name(self) -> str:
        """Of the model, as records have it."""
        return self.card.run_id

    def read(self, name: str) -> bytes:
        """The bytes of a file, the very ones that were compared.

        Raises:
            BundleError: it is not in the bundle, or was changed.
        """
        return self._compared(name, keep=True)

    def _require_whole(self) -> None:
        known, there = set(self.card.files) | {CARD}, set(self.files.sizes)
        if missing := sorted(known - there):
            raise BundleError(f"{self.place}: {', '.join(missing)} is missing: copy the whole bundle again.")
        if extra := sorted(there - known):
            raise BundleError(
                f"{self.place} holds what its card does not know ({', '.join(extra[:5])}): somebody put it there; "
                "remove it, or copy the bundle again."
            )

    def _compared(self, name: str, keep: bool) -> bytes:
        record = self.card.files.get(name)
        if record is None:
            raise BundleError(f"{self.place}: {name} is not in the bundle's card.")
        digest, kept = hashlib.sha256(), []
        for piece in self.files.pieces(name):
            digest.update(piece)
            if keep:
                kept.append(piece)
        if self.files.sizes[name] != record.bytes or digest.hexdigest() != record.sha256:
            raise BundleError(f"{self.place}: {name} was changed since it was exported: copy the bundle again.")
        return b"".join(kept)
