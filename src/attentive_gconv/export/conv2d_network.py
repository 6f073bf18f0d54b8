"""Convert networks to plain modules of `nn.Conv2d`, `nn.Linear` and functions of `torch`, for other tools."""

from collections.abc import Sequence

import torch
from torch import fx, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental.symbolic_shapes import is_concrete_int

from attentive_gconv.export.plain_graph import plain_graph
from attentive_gconv.functional.fast.full_attention.chunked_form import full_attention_as_loops
from attentive_gconv.models.registry import list_models, model_entry
from attentive_gconv.nn.attention import AttentionMap
from attentive_gconv.nn.conv import LiftingConv2d

# batch and sides of images (B, C, Y, X)
AXES = (0, 2, 3)


def to_conv2d(
    model: nn.Module, image_shape: Sequence[int] | None = None, *, dynamic_size: bool = True
) -> fx.GraphModule:
    """Rewrite a network as plain PyTorch: kernels in all their poses, batch norms folded where that is exact.

    The result contains no module or operator of this library. Maps are planes ``(B, C·|H|, Y, X)`` wherever possible,
    layers are `nn.Conv2d`, `nn.Linear` and `nn.BatchNorm2d`, and everything between them is functions of `torch`. It is
    for inference: there is no dropout, and the weights are constants. Full attention is computed in chunks of outputs.

    Args:
        model: a network in eval mode, ours or one built of our layers.
        image_shape: ``(C, Y, X)`` of its images; by default that of the registered network of this class.
        dynamic_size: whether images may have other sizes, if the network allows it. Networks with full attention have
            a fixed size. The result does not check the sizes of images.

    Returns:
        A module, images ``(B, C, Y, X)`` to logits ``(B, classes)``, for any B.

    Raises:
        ValueError: if the model is in training mode, or the image shape is not known.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> model = ag.create_model("p4cnn").eval()
        >>> plain = ag.export.to_conv2d(model)
        >>> plain.c2
        Conv2d(40, 40, kernel_size=(3, 3), stride=(1, 1))
        >>> images = torch.randn(2, 1, 28, 28)
        >>> torch.allclose(plain(images), model(images), atol=1e-5)
        True
    """
    shape = image_shape or image_shape_of(model)
    return plain_graph(exported_program(model, shape, AXES if dynamic_size else AXES[:1]), type(model).__name__)


def plain_program(
    model: nn.Module, image_shape: Sequence[int] | None = None, *, dynamic_size: bool = True
) -> tuple[fx.GraphModule, ExportedProgram]:
    """The module of `to_conv2d`, but with loops in full attention, and its program, with the same dynamic sizes."""
    shape = image_shape or image_shape_of(model)
    with full_attention_as_loops():
        program = exported_program(model, shape, AXES if dynamic_size else AXES[:1])
    plain = plain_graph(program, type(model).__name__)
    *_, images = (node for node in program.graph.nodes if node.op == "placeholder")
    sizes = images.meta["val"].shape
    return plain, exported_program(plain, shape, [axis for axis in AXES if not is_concrete_int(sizes[axis])])


def exported_program(model: nn.Module, image_shape: Sequence[int], axes: Sequence[int]) -> ExportedProgram:
    """Export a model with `torch.export`; these axes of the images are dynamic if the network allows it.

    Raises:
        ValueError: if the model is in training mode.
    """
    if model.training:
        raise ValueError("the model is in training mode, where batch norm and dropout depend on the batch: call eval()")
    like = next((t for t in model.state_dict().values() if t.is_floating_point()), torch.zeros(()))
    images = like.new_zeros((2, *image_shape))
    with torch.no_grad():
        return torch.export.export(model, (images,), dynamic_shapes=(dict.fromkeys(axes, Dim.AUTO),), strict=False)


def image_shape_of(model: nn.Module) -> tuple[int, int, int]:
    """``(C, Y, X)`` of the images of a registered network; C is that of its lifting convolution.

    Raises:
        ValueError: if no registered network is of this class.
    """
    entries = map(model_entry, list_models())
    sides = {entry.image_shape[1:] for entry in entries if entry.makes(model)}
    lifting = (layer for layer in model.modules() if isinstance(layer, LiftingConv2d))
    channels = [layer.in_channels for layer in lifting if not isinstance(layer, AttentionMap)]
    if len(sides) != 1 or not channels:
        raise ValueError(
            f"`image_shape` (=None) is not known of a {type(model).__name__}: give (C, Y, X) of its images, "
            "for example (1, 28, 28)"
        )
    ((height, width),) = sides
    return channels[0], height, width
