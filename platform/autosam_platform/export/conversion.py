"""From a torch network to files that other runtimes read: ONNX, and OpenVINO's own."""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import openvino
import torch
from torch import nn

from autosam_models.sizes import Size
from autosam_models.swin_blocks import with_our_attention

IMAGE, LOGITS = "image", "logits"


def write_networks(network: nn.Module, patch: Size, onnx_path: Path, ir_path: Path) -> None:
    """Write a network, in evaluation mode, for one window of ``patch``.

    Args:
        onnx_path: ONNX with weights in fp32.
        ir_path: OpenVINO's graph (``.xml``); beside it its weights (``.bin``) in fp16, half the size.
    """
    openvino.save_model(openvino_model(network, patch), ir_path, compress_to_fp16=True)
    _write_onnx(network, patch, onnx_path)


def openvino_model(network: nn.Module, patch: Size) -> openvino.Model:
    """A network for OpenVINO, its weights in fp32.

    Traced, since that has one operation for an instance norm, where ``torch.export`` has seven: a window of SwinUNETR
    takes two thirds of the time (docs/benchmarks.md, "At the bedside").
    """
    with _quiet(), torch.no_grad():
        image_BCDHW = torch.zeros(1, 1, *patch)
        traced = torch.jit.trace(_fusable(network), image_BCDHW, check_trace=False)
        model = openvino.convert_model(traced, example_input=image_BCDHW, input=list(image_BCDHW.shape))
    model.inputs[0].set_names({IMAGE})
    model.outputs[0].set_names({LOGITS})
    return model


def _fusable(network: nn.Module) -> nn.Module:
    """A copy of the network, of the same function, in operators that runtimes fuse."""
    return with_our_attention(copy.deepcopy(network), fusable=True)


def _write_onnx(network: nn.Module, patch: Size, path: Path) -> None:
    """Not optimised, which takes three times as long and which ONNX Runtime does when it reads the file."""
    network = _with_biases(_fusable(network))
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            torch.export.export(network, (torch.zeros(1, 1, *patch),)),
            (),
            str(path),
            dynamo=True,
            optimize=False,
            external_data=False,
            input_names=[IMAGE],
            output_names=[LOGITS],
            verbose=False,
        )
    model = onnx.load(path)
    for node in model.graph.node:
        node.ClearField("metadata_props")  # stack traces, with paths of this machine
        node.ClearField("doc_string")
    onnx.save(model, path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of what the converters tell their own developers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # dozens, of several kinds; what came out is compared with the network
            yield
    finally:
        logger.setLevel(level)


def _with_biases(network: nn.Module) -> nn.Module:
    """Give every convolution a bias, of zeros where it has none: onnxscript 0.7 makes a wrong one of its own."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d) and module.bias is None:
            module.bias = nn.Parameter(torch.zeros(module.out_channels))
    return network
