"""The network that is exported, by its authors' class, is the one that was trained: same weights, same answer."""

import pytest
import torch

from autosam_models import find_model, model_cards
from autosam_platform.export.network import FixedPatch

NAMES = ("swin_unetr_tiny", "unet_nano", "unetr", "nnunet", "nnunet_resenc_m", "nnunet_resenc_l")
"""A network of each class; the students and baselines of one differ by a number."""

SMALLER = {
    "unetr": {"patch": (40, 16, 16)},
    "nnunet_resenc_m": {"blocks": (1, 2, 1, 1, 1, 1), "widths": (8,) * 6},
    "nnunet_resenc_l": {"blocks": (1, 2, 1, 1, 1, 1, 1), "widths": (8,) * 7, "deep_supervision": False},
}


CHOSEN = (
    ("nnunet", {"deep_supervision": True}),
    ("swin_unetr_tiny", {"deep_supervision": True}),
    ("nnunet", {"width": 8}),
    ("unetr", {"width": 48, "heads": 3}),
)


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in NAMES), *CHOSEN])
def test_the_published_class_answers_as_ours(name: str, options: dict[str, int]) -> None:
    """For a patch that the network takes only padded; trained with further heads or narrower, too."""
    entry, chosen = find_model(name), SMALLER.get(name, {}) | options
    arguments = {**entry.defaults, "in_channels": 1, "num_classes": 3, "patch": (48, 32, 32), **chosen}
    patch = arguments["patch"]
    torch.manual_seed(0)
    ours = entry.build(**arguments).eval()
    published = entry.published(**arguments)
    assert published is not None
    network = published.build()
    published.load(network, ours.state_dict())
    image_BCDHW = torch.randn(1, 1, *patch, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = FixedPatch(network.eval(), published.size, patch)(image_BCDHW)
        expected = ours(image_BCDHW)
    assert found.shape == expected.shape == (1, 3, *patch)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)


def test_other_weights_are_refused() -> None:
    published = find_model("swin_unetr_tiny").published(in_channels=1, num_classes=3, patch=(64, 32, 32))
    assert published is not None
    network = published.build()
    with pytest.raises(RuntimeError, match=r"Missing keys: .*Unexpected keys: .*'other'"):
        published.load(network, {"network.other": torch.zeros(1)})


def test_every_network_that_a_package_has_is_published() -> None:
    arguments = {"in_channels": 1, "num_classes": 3, "patch": (64, 32, 32)}
    published = {card.name for card in model_cards() if find_model(card.name).published(**arguments) is not None}
    roles = ("student", "baseline")
    assert published == {card.name for card in model_cards() if card.role in roles} - {"nnformer"}
    assert published == {card.name for card in model_cards() if find_model(card.name).exportable}
