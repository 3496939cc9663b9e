"""Weights by name into a built network, where several names may mean one tensor."""

from collections.abc import Collection, Mapping

from torch import Tensor, nn


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], unused: Collection[str] = ()) -> None:
    """Give ``network`` the tensors of a file, which has a tensor of several names once (nnU-Net's has such).

    Args:
        unused: pieces of the names of parameters that may be missing, since the network never uses them.

    Raises:
        RuntimeError: they are those of another network.
    """
    missing, unexpected = network.load_state_dict(dict(weights), strict=False)
    own = network.state_dict(keep_vars=True)
    given = {id(own[name]) for name in weights if name in own}
    needed = [name for name in missing if id(own[name]) not in given and not any(piece in name for piece in unused)]
    if needed or unexpected:
        raise RuntimeError(f"Missing keys: {needed}. Unexpected keys: {list(unexpected)}.")
