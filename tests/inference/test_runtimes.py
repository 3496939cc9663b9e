"""One code for arrays of both kinds: numpy's way and torch's give the same labels, and numpy's needs no torch."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from array_api_compat import array_namespace
from numpy_runtime import CLASSES, NumpyConvolution
from patience import HANG_S
from small_cards import organs, small_card
from torch import Tensor, nn

from autosam_inference import Scan, TrainedModel, Volume, predict
from autosam_inference.arrays import Array, add_product, lerp, most_probable, to_numpy
from autosam_inference.errors import UserError
from autosam_inference.runtimes import Runtime
from autosam_inference.runtimes.pytorch import TorchRuntime
from autosam_inference.sliding_window import predict_labels, sliding_window

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent


def as_torch(runtime: NumpyConvolution) -> TorchRuntime:
    """The same network in torch."""
    network = nn.Conv3d(1, len(runtime.filters_KDHW), 3, padding=1, bias=False)
    network.weight.data = torch.from_numpy(runtime.filters_KDHW)[:, None]
    return TorchRuntime(network.eval())


def noise(size: tuple[int, int, int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=size).astype(np.float32)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("size", [(19, 17, 21), (5, 30, 7), (3, 4, 5)], ids=str)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_logits_of_both_kinds_agree(size: tuple[int, int, int], order: tuple[int, int, int], batch: int) -> None:
    runtime, image_DHW, found = NumpyConvolution.random(), noise(size, 1), []
    image_DHW[: size[0] // 2] = image_DHW.min()  # air
    for each, image in ((runtime, image_DHW), (as_torch(runtime), torch.from_numpy(image_DHW))):
        slabs = sliding_window(
            each.logits, image, (8, 9, 10), 0.5, num_classes=CLASSES, order=order, batch=batch, pad_value=-2.0
        )
        found.append([to_numpy(slab.logits_KDHW) for slab in slabs])
    assert [one.shape for one in found[0]] == [other.shape for other in found[1]]
    np.testing.assert_allclose(np.concatenate(found[0], 1), np.concatenate(found[1], 1), atol=1e-5)
    assert max(runtime.batches) <= batch


def test_labels_of_a_prepared_volume_of_both_kinds_agree() -> None:
    runtime, image_DHW = NumpyConvolution.random(), noise((19, 17, 21), 1)
    ours = predict_labels(runtime.logits, image_DHW, (8, 9, 10), 0.5, CLASSES)
    theirs = predict_labels(as_torch(runtime).logits, torch.from_numpy(image_DHW), (8, 9, 10), 0.5, CLASSES)
    assert isinstance(ours, np.ndarray) and isinstance(theirs, Tensor)
    assert ours.dtype == np.uint8 and theirs.dtype == torch.uint8
    np.testing.assert_array_equal(ours, theirs.numpy())


@pytest.mark.parametrize("spacing_xyz", [(1.0, 1.0, 1.0), (1.5, 0.8, 2.0), (0.7, 1.9, 3.1)], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_labels_of_a_scan_agree_whatever_computes_the_logits(
    seed: int, spacing_xyz: tuple[float, float, float]
) -> None:
    runtime = NumpyConvolution.random(seed=seed)
    scan = Scan.of(Volume(100 * noise((17, 23, 20), seed), (2.0, 1.1, 1.0)))
    runtimes: tuple[Runtime, ...] = (runtime, as_torch(runtime))
    card = small_card(organs(CLASSES - 1), spacing_xyz=spacing_xyz)
    ours, theirs = (predict(TrainedModel(card, each, 0.5), scan) for each in runtimes)
    assert ours.label_DHW.shape == (17, 23, 20) and len(np.unique(ours.label_DHW)) == CLASSES
    np.testing.assert_array_equal(ours.label_DHW, theirs.label_DHW)
    assert ours.volumes_ml == theirs.volumes_ml


@dataclass(frozen=True)
class Spoilt:
    """The answers of another runtime, with ``value`` in one corner of every window."""

    runtime: Runtime
    value: float
    device: str = "cpu"

    def logits(self, patches_BCDHW: Array) -> Array:
        logits_BKDHW = self.runtime.logits(patches_BCDHW)
        logits_BKDHW = array_namespace(logits_BKDHW).asarray(logits_BKDHW, copy=True)
        logits_BKDHW[:, 1, 0, 0, 0] = self.value
        return logits_BKDHW

    def synchronize(self) -> None:
        """It computes nothing itself."""

    def use_threads(self, count: int) -> None:
        """See there."""


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("coarse", [True, False])
def test_logits_that_are_no_numbers_are_no_background(value: float, coarse: bool) -> None:
    runtime = NumpyConvolution.random()
    scan = Scan.of(Volume(100 * noise((17, 23, 20), 0), (2.0, 1.1, 1.0)))
    for each in (runtime, as_torch(runtime)):
        model = TrainedModel(small_card(organs(CLASSES - 1)), Spoilt(each, value), 0.5)
        with pytest.raises(UserError, match=r"NaN or infinite .* Spoilt computes it on cpu: choose another runtime"):
            predict(model, scan, coarse=coarse)


def test_what_the_array_standard_lacks_is_the_same_for_both_kinds() -> None:
    rng = np.random.default_rng(0)
    logits_KN = rng.integers(0, 4, (5, 1000)).astype(np.float32)  # with many equals
    np.testing.assert_array_equal(most_probable(logits_KN), logits_KN.argmax(0))
    np.testing.assert_array_equal(most_probable(torch.from_numpy(logits_KN)).numpy(), logits_KN.argmax(0))
    start, end, share = (rng.normal(size=(3, 4)).astype(np.float32) for _ in range(3))
    one = lerp(start, end, share)
    np.testing.assert_allclose(one, lerp(*map(torch.from_numpy, (start, end, share))).numpy(), rtol=1e-5, atol=1e-6)
    total, tensor = start.copy(), torch.from_numpy(start.copy())
    add_product(total, end.astype(np.float16), share)
    add_product(tensor, torch.from_numpy(end).half(), torch.from_numpy(share))
    np.testing.assert_allclose(total, start + end.astype(np.float16).astype(np.float32) * share, rtol=1e-6)
    np.testing.assert_allclose(total, tensor.numpy(), rtol=1e-5, atol=1e-6)
    assert total.dtype == np.float32 and tensor.dtype == torch.float32


PROGRAM = """
import sys, tempfile
from pathlib import Path
import autosam_inference
assert not {"numpy", "nibabel", "scipy"} & sys.modules.keys(), "the package is light until something is asked of it"
from autosam_inference import Scan, TrainedModel, Volume, predict, read_card, read_scan, write_nifti
import numpy as np
from numpy_runtime import NumpyConvolution

model = TrainedModel(read_card(Path(sys.argv[1])), NumpyConvolution.random(classes=14), 0.25)
scan = Scan.of(Volume(np.random.default_rng(0).normal(0, 100, (20, 22, 24)), (3.0, 2.0, 1.5)))
with tempfile.TemporaryDirectory() as folder:
    write_nifti(predict(model, scan), f"{folder}/labels.nii.gz")
    written = read_scan(f"{folder}/labels.nii.gz")
assert written.volume.array_DHW.shape == (20, 22, 24) and len(np.unique(written.volume.array_DHW)) > 5
print(sorted({"torch", "monai", "ray", "mlflow", "autosam_platform", "highdicom"} & sys.modules.keys()))
"""


def test_a_scan_is_predicted_without_torch_or_the_platform(tmp_path: Path) -> None:
    card = small_card(organs(13), spacing_xyz=(1.5, 2.0, 3.0))
    (tmp_path / "model.json").write_text(card.model_dump_json())
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT / 'models'}:{TESTS}"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=HANG_S
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
