r"""Group convolution with a transformed kernel: one `conv2d`.

    out[b,o,h] = Σ_{c,h'} x[b,c,h'] ⋆ (L_h ψ)[o,c,h'],    ⋆ the cross-correlation of `conv2d`

The maps' channel and group axes are merged, (B, C, |H'|, Y, X) -> (B, C·|H'|, Y, X), and so are the kernel's. A lifting
convolution is the same with |H'| = 1. The quadrature weight q is a factor of the kernel, put there by the caller.

Source: Cohen & Welling, ICML 2016, §7, https://arxiv.org/abs/1602.07576.
"""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from attentive_gconv.functional.chunking import DEFAULT_BUDGET
from attentive_gconv.functional.definition.attentive_convolution import attentive_conv2d_definition
from attentive_gconv.functional.fast.conv2d import conv2d
from attentive_gconv.functional.fast.full_attention import Weights, stream
from attentive_gconv.functional.gating import SUPPRESS, Combination
from attentive_gconv.functional.geometry import Pair
from attentive_gconv.lookup import find

METHODS = {"streaming": "exact, without f~", "definition": "as the formulas read"}


def group_conv2d(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Correlate maps with every transform of a kernel.

    Args:
        x: ``(B, C, |H'|, Y, X)``; |H'| is 1 for a planar map that is lifted.
        kernel: the transformed kernel ``(O, |H|, C / groups, |H'|, k, k)`` of `transform_kernel`.
        bias: ``(O,)``, shared over the group.
        stride, padding, dilation, groups: as in `torch.nn.functional.conv2d`.

    Returns:
        ``(B, O, |H|, Y', X')``.

    Example:
        >>> import torch
        >>> group_conv2d(torch.randn(1, 2, 1, 5, 5), torch.randn(3, 4, 2, 1, 3, 3)).shape
        torch.Size([1, 3, 4, 3, 3])
    """
    out_channels, order = kernel.shape[:2]
    if bias is not None:
        bias = bias.repeat_interleave(order)
    step, border, spread = (v if isinstance(v, tuple) else (v, v) for v in (stride, padding, dilation))
    planes = conv2d(x.flatten(1, 2), kernel.flatten(2, 3).flatten(0, 1), bias, step, border, spread, groups)
    return planes.unflatten(1, (out_channels, order))


def attentive_conv2d(
    x: Tensor,
    kernel: Tensor,
    fc1: Tensor | None = None,
    fc2: Tensor | None = None,
    spatial_kernel: Tensor | None = None,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    spatial_dilation: int = 1,
    scale: float = 1.0,
    combination: Combination = SUPPRESS,
    method: str = "streaming",
    recompute: bool = False,
    memory_budget: int = DEFAULT_BUDGET,
    backend: str = "auto",
) -> Tensor:
    """The attentive convolution: exact, computed without f~ unless the definition is asked for.

    Args:
        x, kernel, fc1, fc2, spatial_kernel, stride, padding, dilation, spatial_dilation, scale, combination: as in
            `attentive_conv2d_definition`.
        method: ``"streaming"`` or ``"definition"``. `torch.export` and the transforms of `torch.func` (with a
            warning) take the definition, and gradients of gradients (``create_graph=True``) go through it.
            `torch.compile` leaves the streaming form whole, with ``recompute``.
        recompute: keep only x for backward and compute the rest again there: less memory, one more forward pass.
        memory_budget: bytes of working memory beside the tensors that are returned or kept. It is exceeded only where
            a few planes of one sample are larger; the compiled kernels hold them for 16 outputs (8 in float64) at a
            time, on each thread, with up to 512 KiB of responses.
        backend: of the streaming form: ``"auto"``, ``"numba"`` (compiled, CPU), ``"triton"`` (compiled, GPU),
            ``"torch"``.

    Returns:
        ``(B, O, |H|, Y', X')``, in the dtype of x, or that of autocast. float16 and bfloat16 are computed in float32.

    Raises:
        ValueError: on an unknown method or backend, a backend of another device, a budget that is not positive, or
            without any attention.

    Example:
        >>> import torch
        >>> x, kernel = torch.randn(1, 2, 4, 5, 5).double(), torch.randn(3, 4, 2, 4, 3, 3).double()
        >>> psi = torch.randn(3, 4, 2, 4, 7, 7).double()
        >>> exact = attentive_conv2d_definition(x, kernel, spatial_kernel=psi)
        >>> torch.allclose(attentive_conv2d(x, kernel, spatial_kernel=psi, backend="torch"), exact)
        True
    """
    return attend_by_method(
        x,
        lambda: (kernel, fc1, fc2, spatial_kernel),
        method,
        {"recompute": recompute, "memory_budget": memory_budget, "backend": backend},
        stride=stride,
        padding=padding,
        dilation=dilation,
        spatial_dilation=spatial_dilation,
        scale=scale,
        combination=combination,
    )


def attend_by_method(
    x: Tensor, weights: Callable[[], Weights], method: str, how: dict[str, Any], **options: Any
) -> Tensor:
    """`attentive_conv2d` of weights that are made when they are needed.

    Args:
        x, method: as there.
        weights: gives kernel, fc1, fc2 and spatial_kernel.
        how: what only the streaming form takes.
        options: what both forms take.
    """
    find("method", method, METHODS)
    # what looks into an operation, or takes it elsewhere, needs the definition
    transformed = torch._C._are_functorch_transforms_active()
    if method == "definition" or x.numel() == 0 or transformed or torch.compiler.is_exporting():
        if method != "definition" and transformed:
            _say_that_transforms_take_the_definition()
        return attentive_conv2d_definition(x, *weights(), **options)
    return stream(x, weights, **options, **how)


@cache
def _say_that_transforms_take_the_definition() -> None:
    """Once."""
    warnings.warn(
        "under transforms of torch.func full attention is computed by its definition, with far more memory and time "
        "than the streaming form; that form runs under torch.autograd, or set method='definition' if this is meant",
        RuntimeWarning,
        stacklevel=4,
    )
