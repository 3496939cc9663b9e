"""From a torch network to files that other runtimes read: ONNX, and OpenVINO's own."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import openvino
import torch
from torch import nn
from torch.export import ExportedProgram

from autosam_models.sizes import Size

IMAGE, LOGITS = "image", "logits"


def write_networks(network: nn.Module, patch: Size, onnx_path: Path, ir_path: Path) -> None:
    """Write a network, in evaluation mode, for one window of ``patch``.

    Args:
        onnx_path: ONNX with weights in fp32.
        ir_path: OpenVINO's graph (``.xml``); beside it its weights (``.bin``) in fp16, half the size.
    """
    _with_biases(network)
    with _quiet(), torch.no_grad():
        program = torch.export.export(network, (torch.zeros(1, 1, *patch),))
        _write_openvino(program, patch, ir_path)
        _write_onnx(program, onnx_path)


def _with_biases(network: nn.Module) -> None:
    """Give every convolution a bias, of zeros where it has none: onnxscript 0.7 makes a wrong one of its own."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d) and module.bias is None:
            module.bias = nn.Parameter(torch.zeros(module.out_channels))


def _write_openvino(program: ExportedProgram, patch: Size, path: Path) -> None:
    model = openvino.convert_model(program)
    model.inputs[0].set_names({IMAGE})
    model.outputs[0].set_names({LOGITS})
    openvino.save_model(model, path, compress_to_fp16=True)


def _write_onnx(program: ExportedProgram, path: Path) -> None:
    """Not optimised, which takes three times as long and which ONNX Runtime does when it reads the file."""
    torch.onnx.export(
        program,
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
