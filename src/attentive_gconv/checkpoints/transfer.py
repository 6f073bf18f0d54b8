"""Transfer learning: copy every tensor of one network into another where name and shape are the same.

The kernel of the first convolution is adapted to another number of input channels so that a grey image, the same in all
channels, gives the same response. From n to m channels, repeated in order,

    W'[c] = n/m · W[c mod n] + (Σ W - n/m · Σ W[c mod n]) / m

From one channel that is W / m, to one it is the sum, as in timm. The last term, which is 0 where n divides m, is not in
timm, whose grey response changes from three to two channels.

Source: timm, ``adapt_input_conv``, https://github.com/huggingface/pytorch-image-models.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Transfer:
    """Outcome of a transfer of weights, as names in the state dict.

    Attributes:
        kept: copied as they are.
        adapted: kernels of the first convolution, copied for another number of input channels.
        initialised: not copied; these keep their initial weights.
        left_out: tensors of the source that the network lacks, or has in another shape.
    """

    kept: tuple[str, ...]
    adapted: tuple[str, ...]
    initialised: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every tensor was kept as it is."""
        return not (self.adapted or self.initialised or self.left_out)

    def __str__(self) -> str:
        """One line for logs."""
        parts = [f"kept {len(self.kept)} of {len(self.kept + self.adapted + self.initialised)} tensors"]
        for words, names in (("adapted", self.adapted), ("newly initialised", self.initialised)):
            if names:
                parts.append(f"{words}: {', '.join(names[:6])}" + (f" and {len(names) - 6} more" if names[6:] else ""))
        return "; ".join(parts)


@torch.no_grad()
def transfer_weights(model: nn.Module, source: nn.Module | Mapping[str, Tensor]) -> Transfer:
    """Copy the weights of one network into another: every tensor of the same name and shape.

    Args:
        model: the network to fill; its other tensors stay as they are.
        source: a trained network, or its state dict.

    Returns:
        Which tensors were kept, adapted and left at their initial values.

    Raises:
        ValueError: if no tensor has the same name and shape; the network is unchanged then.

    Example:
        >>> import attentive_gconv as ag
        >>> trained = ag.create_model("p4cnn")
        >>> print(transfer_weights(ag.create_model("p4cnn", num_classes=3, in_channels=3), trained))
        kept 35 of 37 tensors; adapted: c1.weight; newly initialised: c7.weight
    """
    found = source.state_dict() if isinstance(source, nn.Module) else dict(source)
    state = model.state_dict()
    stem = getattr(model, "stem", None)
    kept = [name for name, value in state.items() if name in found and found[name].shape == value.shape]
    adapted = [name for name in state.keys() & found.keys() if _is_stem_kernel(name, stem, state[name], found[name])]
    if not any(state[name].is_floating_point() for name in kept):
        raise ValueError(
            f"no weights fit {type(model).__name__}: none has the same name and shape; take a network of the same "
            "family, group and width"
        )
    for name in kept:
        state[name].copy_(found[name])
    for name in adapted:
        state[name].copy_(with_input_channels(found[name], state[name].shape[1]))
    taken = {*kept, *adapted}
    return Transfer(
        tuple(kept),
        tuple(adapted),
        tuple(name for name in state if name not in taken),
        tuple(name for name in found if name not in taken),
    )


def _is_stem_kernel(name: str, stem: str | None, new: Tensor, old: Tensor) -> bool:
    """Whether this is the kernel of the first convolution, differing only in the number of input channels."""
    # with an attention module from the literature, the convolution is a submodule
    if stem is None or name not in (f"{stem}.weight", f"{stem}.convolution.weight") or new.dim() != old.dim():
        return False
    shapes = [(tensor.shape[0], *tensor.shape[2:]) for tensor in (new, old)]
    return shapes[0] == shapes[1] and new.shape[1] != old.shape[1]


def with_input_channels(kernel: Tensor, channels: int) -> Tensor:
    """A lifting kernel ``(O, C, k, k)`` for another number of input channels, see above."""
    before, total = kernel.shape[1], kernel.sum(1, keepdim=True)
    repeated = torch.cat([kernel] * math.ceil(channels / before), 1)[:, :channels] * (before / channels)
    return repeated + (total - repeated.sum(1, keepdim=True)) / channels
