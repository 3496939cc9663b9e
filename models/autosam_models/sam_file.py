"""SAM's released checkpoints: where they are, and what can be seen of a file without torch."""

from pathlib import Path

WHERE = (
    "Download sam_vit_b_01ec64.pth, sam_vit_l_0b3195.pth or sam_vit_h_4b8939.pth: SAM's own README links them, "
    "https://github.com/facebookresearch/segment-anything#model-checkpoints"
)
_BEGINNINGS = (b"PK\x03\x04", b"\x80\x02")  # of what torch.save writes: a zip, and before torch 1.6 a pickle


def require_sam_file(path: Path) -> None:
    """Refuse a path that cannot be a checkpoint, before anything is made for it; whose it is shows when it is loaded.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a file of another kind.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no SAM checkpoint here. {WHERE}")
    with path.open("rb") as file:
        beginning = file.read(4)
    if not beginning.startswith(_BEGINNINGS):
        raise ValueError(f"{path}: is no file of torch weights, so no SAM checkpoint. {WHERE}")
