"""SAM of segment_anything's own classes, of any of its sizes and for pictures of any side, asked about CT slices."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from autosam_models.prompted.asking import Asking
from autosam_models.sam_file import WHERE
from autosam_models.sam_import import segment_anything
from autosam_models.sizes import Size, size_text
from autosam_models.teacher.sam_weights import PREFIX, read_checkpoint, resize_rows

PIXEL_MEAN, PIXEL_DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of the colours of the pictures that SAM was trained on."""

_TOKEN = 16  # pixels along a side of a token, in all of SAM's sizes


class PromptedSam(nn.Module):
    """SAM, and how it is asked.

    Pixels of prompts are (x, y) from the upper left corner, as SAM has them: of the slice where they are drawn, and of
    the picture, whose longer side SAM resizes to its own, where the network gets them.

    Args:
        sam: segment_anything's ``Sam``.
        asking: how; it decides what is trained.
    """

    def __init__(self, sam: Any, asking: Asking) -> None:
        super().__init__()
        self.sam = sam
        self.asking = asking
        self.side: int = sam.image_encoder.img_size
        for name, parameter in self.sam.named_parameters():
            parameter.requires_grad_(_is_tuned(name, asking))

    def forward(self, image_B: Tensor, prompt_BP2: Tensor) -> Tensor:
        """Logits of the single mask of one organ in each slice of a batch, B × 1 × S × S, as training wants them.

        Args:
            image_B: inputs, B × 3 × S × S; or where the image encoder is not tuned their embeddings, B × C × h × w.
            prompt_BP2: pixels of the pictures.
        """
        embedding_BCHW = self.embed(image_B) if self.asking.tune == "all" else image_B
        low_B1HW = torch.cat(
            [
                self.decode(embedding_CHW, prompt_P2[None], best=False)[0]
                for embedding_CHW, prompt_P2 in zip(embedding_BCHW, prompt_BP2, strict=True)
            ]
        )
        return F.interpolate(low_B1HW, (self.side, self.side), mode="bilinear", align_corners=False)

    def embed(self, input_B3HW: Tensor) -> Tensor:
        """Image embeddings of inputs, see ``as_input``: B × C × S/16 × S/16."""
        embedding_BCHW: Tensor = self.sam.image_encoder(input_B3HW)
        return embedding_BCHW

    def decode(self, embedding_CHW: Tensor, prompt_NP2: Tensor, *, best: bool) -> tuple[Tensor, Tensor]:
        """Masks of one picture for N prompts.

        Args:
            best: the best of three by the predicted IoU, in place of the single one.

        Returns:
            their logits, N × 1 × S/4 × S/4, and the IoU that is predicted of them, N × 1.
        """
        with torch.autocast(embedding_CHW.device.type, enabled=False):  # in bf16 a prompt would miss by some pixels
            sparse_NTC, dense_NCHW = self._embed_prompts(prompt_NP2)
            logits_NMHW, iou_NM = self.sam.mask_decoder(
                image_embeddings=embedding_CHW[None].float(),
                image_pe=self.sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse_NTC,
                dense_prompt_embeddings=dense_NCHW,
                multimask_output=best,
            )
        if not best:
            return logits_NMHW, iou_NM
        chosen_N = iou_NM.argmax(1)
        each_N = torch.arange(len(chosen_N), device=chosen_N.device)
        return logits_NMHW[each_N, chosen_N][:, None], iou_NM[each_N, chosen_N][:, None]

    def _embed_prompts(self, prompt_NP2: Tensor) -> tuple[Tensor, Tensor]:
        if self.asking.prompt == "box":
            boxes_N4 = prompt_NP2.flatten(1)
            embedded: tuple[Tensor, Tensor] = self.sam.prompt_encoder(points=None, boxes=boxes_N4, masks=None)
        else:
            inside_NP = torch.ones(prompt_NP2.shape[:2], dtype=torch.int, device=prompt_NP2.device)
            embedded = self.sam.prompt_encoder(points=(prompt_NP2, inside_NP), boxes=None, masks=None)
        return embedded

    def on_slice(self, low_NMHW: Tensor, slice_HW: tuple[int, int]) -> Tensor:
        """Mask logits at the slice's own size, as SAM resizes them: N × M × H × W, as they are seen."""
        inside = resizing(self.side).get_preprocess_shape(*slice_HW, self.side)
        logits_NMHW: Tensor = self.sam.postprocess_masks(low_NMHW.float(), inside, slice_HW)
        return logits_NMHW


def as_seen(slice_HW: NDArray[Any]) -> NDArray[Any]:
    """A canonical axial slice with anterior up and the patient's right on the left; applied twice, it is as it was."""
    return slice_HW[::-1, ::-1]


def resizing(side: int) -> Any:
    """SAM's own way from a slice to a picture with a longer side of ``side`` pixels."""
    return segment_anything.utils.transforms.ResizeLongestSide(side)


def picture(hu_HW: NDArray[Any], hu_window: tuple[int, int], side: int) -> NDArray[np.uint8]:
    """A canonical axial slice as SAM is to see it, 3 × h × w, its longer side as long as SAM's pictures.

    It is turned as radiologists look at it: anterior is up, and the patient's right on the left.

    Args:
        hu_HW: H posterior → anterior, W left → right.
        hu_window: what becomes black and white.
    """
    low, high = hu_window
    grey_HW = np.rint((np.clip(hu_HW.astype(np.float32), low, high) - low) * (255 / (high - low))).astype(np.uint8)
    image_HW3 = np.repeat(as_seen(grey_HW)[:, :, None], 3, axis=2)
    return np.ascontiguousarray(resizing(side).apply_image(image_HW3).transpose(2, 0, 1))


def as_input(picture_3HW: NDArray[np.uint8], side: int) -> Tensor:
    """A picture as the image encoder takes it, as SAM's ``preprocess`` makes it: 3 × S × S, float32, zero beside it."""
    mean_311, deviation_311 = (torch.tensor(each)[:, None, None] for each in (PIXEL_MEAN, PIXEL_DEVIATION))
    _, height, width = picture_3HW.shape
    scaled_3HW = (torch.from_numpy(picture_3HW) - mean_311) / deviation_311
    return F.pad(scaled_3HW, (0, side - width, 0, side - height))


def in_picture(prompts_NP2: NDArray[Any], slice_HW: tuple[int, int], side: int) -> Tensor:
    """Prompts on a slice of such a size as pixels of its picture, float32."""
    return torch.as_tensor(resizing(side).apply_coords(prompts_NP2, slice_HW), dtype=torch.float32)


def build_prompted(
    *,
    in_channels: int,
    num_classes: int,
    patch: Size,
    embed_dim: int,
    depth: int,
    heads: int,
    global_blocks: tuple[int, ...],
    prompt_channels: int,
    decoder_mlp: int,
    checkpoint: str | Path | None = None,
    **asking: Any,
) -> PromptedSam:
    """Build SAM as segment_anything's ``build_sam`` does, which has one side only, and give it a checkpoint's weights.

    Args:
        in_channels: 1, of CT.
        num_classes: SAM knows no classes, so it is for all.
        patch: (1, S, S), S the side of SAM's pictures in pixels; SAM's own is 1024.
        global_blocks: of the image encoder, those without windows.
        checkpoint: SAM's ``.pth``; its tables of positions are resized where the side is not 1024.
        asking: fields of ``Asking``.

    Raises:
        ValueError: a patch that is no picture, a checkpoint of another size, an option that is not possible.
    """
    if in_channels != 1:
        raise ValueError(f"SAM is shown one channel of CT, not {in_channels}")
    one, side, other = patch
    if one != 1 or side != other or side % _TOKEN or num_classes < 2:
        raise ValueError(
            f"SAM sees one slice, a square whose side is a multiple of {_TOKEN}, not a patch of {size_text(patch)}: "
            "give --model.patch-DHW 1 1024 1024"
        )
    modeling = segment_anything.modeling
    grid = (side // _TOKEN, side // _TOKEN)
    sam = modeling.Sam(
        image_encoder=modeling.ImageEncoderViT(
            img_size=side,
            patch_size=_TOKEN,
            embed_dim=embed_dim,
            depth=depth,
            num_heads=heads,
            mlp_ratio=4,
            out_chans=prompt_channels,
            qkv_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=14,
            global_attn_indexes=global_blocks,
        ),
        prompt_encoder=modeling.PromptEncoder(prompt_channels, grid, (side, side), mask_in_chans=16),
        mask_decoder=modeling.MaskDecoder(
            transformer_dim=prompt_channels,
            transformer=modeling.TwoWayTransformer(
                depth=2, embedding_dim=prompt_channels, num_heads=8, mlp_dim=decoder_mlp
            ),
            num_multimask_outputs=3,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        ),
        pixel_mean=list(PIXEL_MEAN),
        pixel_std=list(PIXEL_DEVIATION),
    )
    if checkpoint is not None:
        load_published(sam, Path(checkpoint))
    return PromptedSam(sam, Asking.of(asking))


def load_published(sam: nn.Module, path: Path) -> None:
    """Give ``sam`` every tensor of a checkpoint; tables of positions are resized to its side.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read as tensors only, is no SAM checkpoint, or is one of another size.
    """
    state = read_checkpoint(path)
    own = sam.state_dict()
    missing, further = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or further:
        lacks = f"has no {missing[0]}" if missing else f"holds {further[0]}, which this SAM has no place for"
        raise ValueError(f"{path}: {lacks}. Choose the checkpoint of the model's own size. {WHERE}")
    fitting = {name: _resized(name, tensor, own[name].shape) for name, tensor in state.items()}
    for name, tensor in fitting.items():
        if tensor.shape != own[name].shape:
            raise ValueError(
                f"{path}: gives {name} the shape {tuple(tensor.shape)}, but the model's is {tuple(own[name].shape)}. "
                f"Choose the checkpoint of the model's own size. {WHERE}"
            )
    sam.load_state_dict(fitting)


def _resized(name: str, tensor: Tensor, shape: torch.Size) -> Tensor:
    """A table of positions for a picture of another side; anything else as it is."""
    if tensor.shape == shape or tensor.shape[-1] != shape[-1]:
        return tensor
    if name == f"{PREFIX}pos_embed":
        resized_BCHW = F.interpolate(
            tensor.permute(0, 3, 1, 2), tuple(shape[1:3]), mode="bilinear", align_corners=False, antialias=True
        )
        return resized_BCHW.permute(0, 2, 3, 1)
    if name.endswith(("rel_pos_h", "rel_pos_w")):
        return resize_rows(tensor, shape[0])
    return tensor


def _is_tuned(name: str, asking: Asking) -> bool:
    """Is a parameter of SAM trained? None is that no gradient reaches: several workers would wait for it."""
    if asking.tune == "none" or (asking.tune == "prompt_and_mask" and name.startswith(PREFIX)):
        return False
    return not name.startswith(_NEVER_ASKED + (_OF_POINTS if asking.prompt == "box" else _OF_BOXES))


_NEVER_ASKED = (
    "prompt_encoder.mask_downscaling.",  # of prompts that are masks
    "prompt_encoder.point_embeddings.0.",  # of points outside of what is asked for
    "mask_decoder.iou_prediction_head.",
    *(f"mask_decoder.output_hypernetworks_mlps.{mask}." for mask in (1, 2, 3)),  # of the three masks
)
_OF_POINTS = ("prompt_encoder.point_embeddings.1.", "prompt_encoder.not_a_point_embed.")
_OF_BOXES = ("prompt_encoder.point_embeddings.2.", "prompt_encoder.point_embeddings.3.")
