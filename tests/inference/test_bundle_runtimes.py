"""What a bundle's runtimes compute is what torch computes, in any memory order and with any number of threads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_bundles import PATCH, small_bundle, small_network

from autosam_inference import Scan, TrainedModel, Volume, predict
from autosam_inference.runtimes.chosen import RuntimeName
from autosam_inference.runtimes.openvino import OpenVinoRuntime, has_bf16
from autosam_inference.runtimes.pytorch import TorchRuntime


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle(tmp_path_factory.mktemp("bundles") / "small.zip")


def model(bundle: Path, name: RuntimeName) -> TrainedModel:
    loaded = TrainedModel.load(bundle, runtime=name)
    if isinstance(loaded.runtime, OpenVinoRuntime):
        loaded.runtime.precision = "fp32"
    return loaded


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_logits_are_those_of_torch(bundle: Path, name: RuntimeName) -> None:
    runtime = model(bundle, name).runtime
    images_BCDHW = (
        np.random.default_rng(0).normal(size=(3, 1, *PATCH[::-1])).astype(np.float32).transpose(0, 1, 4, 3, 2)
    )
    with torch.inference_mode():
        expected = small_network()(torch.from_numpy(images_BCDHW.copy())).numpy()
    found = runtime.logits(images_BCDHW)
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-3)  # the weights of one are fp16
    first = found.copy()
    runtime.use_threads(1)
    negative = runtime.logits(-images_BCDHW)
    assert np.abs(negative - found).max() > 1
    np.testing.assert_array_equal(found, first, "an answer is not written over by the next")
    np.testing.assert_allclose(runtime.logits(images_BCDHW), first, atol=1e-5)


def test_openvino_computes_in_what_the_processor_has(bundle: Path) -> None:
    loaded = TrainedModel.load(bundle)
    assert isinstance(loaded.runtime, OpenVinoRuntime) and str(loaded.runtime.device) == "cpu"
    assert loaded.runtime.format == ("bf16" if has_bf16() else "fp32")
    assert loaded.overlap == 0.5 and TrainedModel.load(bundle, overlap=0.25).overlap == 0.25


def test_a_scan_has_the_same_labels_whatever_computes(bundle: Path) -> None:
    scan = Scan.of(Volume(100 * np.random.default_rng(1).normal(size=(17, 23, 20)).astype(np.float32), (2.0, 1.1, 1.0)))
    loaded = model(bundle, "onnx")
    torch_model = TrainedModel(loaded.card, TorchRuntime(small_network()), loaded.overlap)
    expected = predict(torch_model, scan).label_DHW
    assert len(np.unique(expected)) == 4
    np.testing.assert_array_equal(predict(loaded, scan).label_DHW, expected)
    assert (predict(model(bundle, "openvino"), scan).label_DHW == expected).mean() > 0.999
