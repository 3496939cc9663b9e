"""The paper's Fig. 1A: how SAM's image encoder sees CT slices beside natural images, as a map in two dimensions."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread
from numpy.typing import NDArray

from autosam_inference.files import atomic_write
from autosam_models.prompted.sam import PromptedSam, as_input, picture, resizing
from autosam_platform.data.store import StoredCase
from autosam_platform.evaluation.pictures import DPI, save_figure
from autosam_platform.studies.description import StudyError

NATURAL = "natural images"

_SUFFIXES = (".jpg", ".jpeg", ".png")
_CROP = (0.3, 0.7)  # of a picture's shorter side: what is cut from one where there are few
_PERPLEXITY = 30.0
_SHADES = 255


@dataclass(frozen=True)
class EmbeddingMap:
    """Embeddings and where t-SNE puts them.

    Attributes:
        groups: of each embedding, by name.
        places_N2: on the map.
        silhouette: how far natural images and slices lie apart in the encoder's own space, from -1 to 1; 0 is not.
        source: where the natural images are from, in words.
    """

    groups: tuple[str, ...]
    places_N2: NDArray[np.float32]
    silhouette: float
    source: str

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said under the picture."""
        counts = {group: self.groups.count(group) for group in dict.fromkeys(self.groups)}
        shown = ", ".join(f"{count} of {group}" for group, count in counts.items())
        return (
            f"Means over the image embedding's places, mapped by t-SNE (perplexity {_PERPLEXITY:g}, seed 0): {shown}.",
            f"Natural images: {self.source}.",
            f"Silhouette of slices and natural images in the encoder's own space, by cosine: {self.silhouette:.2f} (1: "
            "far apart, 0: mixed). Distances on a t-SNE map itself mean little.",
        )


def embedding_map(
    network: PromptedSam, slices: Mapping[str, Sequence[NDArray[np.uint8]]], natural: Path | None, count: int
) -> EmbeddingMap:
    """Embed slices and natural images, and map them.

    Args:
        slices: grey pictures H × W × 3 of 0 to 255, by the names of their datasets.
        natural: folder of JPEG or PNG files; scikit-learn's two sample pictures, in pieces, where none is given.
        count: natural images to show, at most.

    Raises:
        StudyError: the folder holds no picture, or there are too few pictures for a map.
    """
    from sklearn.manifold import TSNE  # takes seconds to import
    from sklearn.metrics import silhouette_score

    pictures, source = _natural(natural, count)
    named = {**slices, NATURAL: pictures}
    groups = tuple(name for name, images in named.items() for _ in images)
    vectors_NC = np.stack([_embedded(network, image) for images in named.values() for image in images])
    if len(groups) <= _PERPLEXITY or not slices:
        raise StudyError(f"{len(groups)} pictures are too few for a map: take scans with more slices, or more images")
    vectors_NC /= np.linalg.norm(vectors_NC, axis=1, keepdims=True)
    places_N2 = TSNE(perplexity=_PERPLEXITY, init="pca", random_state=0).fit_transform(vectors_NC)
    apart = silhouette_score(vectors_NC, [group == NATURAL for group in groups], metric="cosine")
    return EmbeddingMap(groups, places_N2.astype(np.float32), float(apart), source)


def organ_slices(
    cases: Sequence[StoredCase], count: int, hu_window: tuple[int, int], side: int
) -> list[NDArray[np.uint8]]:
    """Axial slices with organs, evenly drawn from the cases, as SAM is shown them: H × W × 3.

    Args:
        hu_window: what becomes black and white.
        side: of SAM's pictures in pixels.
    """
    found: list[NDArray[np.uint8]] = []
    each = -(-count // max(len(cases), 1))
    for case in cases:
        label_DHW, hu_DHW = case.label().numpy(), case.hu()
        shown = np.flatnonzero(label_DHW.reshape(len(label_DHW), -1).any(1))
        chosen = shown[np.linspace(0, len(shown) - 1, min(each, len(shown))).round().astype(int)] if len(shown) else []
        found += [picture(hu_DHW[number], hu_window, side).transpose(1, 2, 0) for number in np.unique(chosen)]
    return found[:count]


def save_map(found: EmbeddingMap, places: Sequence[Path], table: Path, title: str) -> None:
    """Draw the map, and write its points as CSV."""
    figure = Figure(figsize=(7, 5.4), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11, weight="bold")
    for group in dict.fromkeys(found.groups):
        own = [index for index, name in enumerate(found.groups) if name == group]
        marker = "x" if group == NATURAL else "o"
        x_N, y_N = found.places_N2[own].T
        axes.scatter(x_N, y_N, s=24, marker=marker, label=f"{group} ({len(own)})", alpha=0.8)
    axes.set_xticks([])
    axes.set_yticks([])
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    for place in places:
        save_figure(figure, place)
    with atomic_write(table) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["group", "x", "y"])
        for group, (x, y) in zip(found.groups, found.places_N2.tolist(), strict=True):
            writer.writerow([group, f"{x:.4f}", f"{y:.4f}"])


@torch.inference_mode()
def _embedded(network: PromptedSam, image_HW3: NDArray[np.uint8]) -> NDArray[np.float32]:
    picture_3HW = np.ascontiguousarray(resizing(network.side).apply_image(image_HW3).transpose(2, 0, 1))
    input_13HW = as_input(picture_3HW, network.side)[None].to(next(network.parameters()).device)
    vector_C: NDArray[np.float32] = network.embed(input_13HW)[0].float().mean((1, 2)).cpu().numpy()
    return vector_C


def _natural(folder: Path | None, count: int) -> tuple[list[NDArray[np.uint8]], str]:
    if folder is not None:
        files = sorted(path for path in folder.expanduser().rglob("*") if path.suffix.lower() in _SUFFIXES)
        if not files:
            raise StudyError(f"--natural {folder} holds no picture: name a folder of JPEG or PNG files")
        return [_read(path) for path in files[:count]], f"{min(len(files), count)} pictures of {folder}"
    from sklearn.datasets import load_sample_images

    pictures = [np.asarray(each, np.uint8) for each in load_sample_images().images]
    rng = np.random.default_rng(0)
    pieces = [_piece(pictures[index % len(pictures)], rng) for index in range(count)]
    return pieces, f"{count} pieces of the two sample pictures of scikit-learn, which have much in common"


def _piece(image_HW3: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    edge = int(min(image_HW3.shape[:2]) * rng.uniform(*_CROP))
    top, left = (int(rng.integers(n - edge + 1)) for n in image_HW3.shape[:2])
    return image_HW3[top : top + edge, left : left + edge]


def _read(path: Path) -> NDArray[np.uint8]:
    """A picture as H × W × 3 of 0 to 255."""
    try:
        image = np.asarray(imread(path))
    except (OSError, ValueError, SyntaxError) as error:
        raise StudyError(f"{path} cannot be read as a picture ({error}): remove it, or name another folder") from error
    if image.dtype != np.uint8:
        image = (image * _SHADES).round().astype(np.uint8)
    image = image[..., None] if image.ndim == 2 else image[..., :3]
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
