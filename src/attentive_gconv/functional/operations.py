"""The operations of the library: group convolution, full attention, input attention.

Each has one signature, that of its definition in `attentive_gconv.functional.definition`, and dispatches to it or to a
fast form by the rules of `attentive_gconv.functional.fast.dispatch`.
"""

from torch import Tensor

from attentive_gconv.functional.chunking import DEFAULT_BUDGET
from attentive_gconv.functional.definition.attended_input import input_attention_definition
from attentive_gconv.functional.definition.attentive_convolution import attentive_conv2d_definition
from attentive_gconv.functional.definition.group_convolution import group_conv2d_definition
from attentive_gconv.functional.fast import dispatch
from attentive_gconv.functional.fast.conv2d import group_conv2d_fast
from attentive_gconv.functional.fast.full_attention.chunked_form import attentive_conv2d_by_chunks
from attentive_gconv.functional.fast.full_attention.library_operator import stream_by_operator
from attentive_gconv.functional.fast.full_attention.streaming import stream
from attentive_gconv.functional.fast.input_attention.custom_function import input_attention_fast
from attentive_gconv.functional.geometry import Pair
from attentive_gconv.functional.operands import FullAttentionWeights, InputAttentionWeights
from attentive_gconv.lookup import find


def group_conv2d(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Lifting or group convolution: correlate maps with every transform of a kernel.

    Args:
        x: ``(B, C, |H'|, Y, X)``; |H'| is 1 for a planar map that is lifted.
        kernel: the transformed kernel ``(O, |H|, C / groups, |H'|, k, k)`` of `transform_kernel`.
        bias: ``(O,)``, shared over the group.
        stride, padding, dilation, groups: as in `torch.nn.functional.conv2d`.

    Returns:
        ``(B, O, |H|, Y', X')``.

    Source:
        Cohen & Welling, ICML 2016, §7, https://arxiv.org/abs/1602.07576.

    Example:
        >>> import torch
        >>> group_conv2d(torch.randn(1, 2, 1, 5, 5), torch.randn(3, 4, 2, 1, 3, 3)).shape
        torch.Size([1, 3, 4, 3, 3])
    """
    form = group_conv2d_fast if dispatch.takes_custom_conv2d(x, kernel, bias) else group_conv2d_definition
    return form(x, kernel, bias, stride, padding, dilation, groups)


def attentive_conv2d(
    x: Tensor,
    weights: FullAttentionWeights,
    *,
    method: str = "streaming",
    recompute: bool = False,
    memory_budget: int = DEFAULT_BUDGET,
    backend: str = "auto",
) -> Tensor:
    """Lifting or group convolution with full attention: exact, without the 7-D tensor of separate responses f~.

    Args:
        x: ``(B, C, |H'|, Y, X)``; |H'| is 1 in a lifting layer.
        weights: transformed weights and options of the convolution and its attention.
        method: ``"streaming"`` or ``"definition"``. Under transforms of `torch.func`, forward-mode derivatives,
            dispatch modes and tracing the definition runs in any case, with a warning. `torch.export` gets standard
            operators in small chunks of outputs; the budget limits those of loops in exported files. Gradients of
            gradients (``create_graph=True``) use the definition. `torch.compile` sees the streaming form as one
            operator, with ``recompute``.
        recompute: activation checkpointing: save only x and the weights for backward. Less memory, one more forward
            pass.
        memory_budget: bytes of working memory beside the tensors that are returned or saved. It is exceeded only where
            a few planes of one sample are larger; the compiled kernels hold those of up to 16 outputs (8 in float64) on
            each thread, and up to 512 KiB of responses.
        backend: of the streaming form: ``"auto"``, ``"numba"`` (compiled, CPU), ``"triton"`` (compiled, GPU),
            ``"torch"``.

    Returns:
        ``(B, O, |H|, Y', X')``, in the dtype of x, or that of autocast. The streaming form computes float16 and
        bfloat16 in float32, the definition in their own precision.

    Raises:
        ValueError: if x does not fit the weights, or is not real; on an unknown method or backend, a backend of another
            device, or a budget that is not positive.
        ImportError: if the backend was asked for by name and cannot be imported.

    Source:
        Romero et al., ICML 2020, §4-5, https://arxiv.org/abs/2002.03830.

    Example:
        >>> import torch
        >>> x, kernel = torch.randn(1, 2, 4, 5, 5).double(), torch.randn(3, 4, 2, 4, 3, 3).double()
        >>> weights = FullAttentionWeights(kernel, spatial_kernel=torch.randn(3, 4, 2, 4, 7, 7).double())
        >>> exact = attentive_conv2d_definition(x, weights)
        >>> torch.allclose(attentive_conv2d(x, weights, backend="torch"), exact)
        True
    """
    if memory_budget < 1:
        raise ValueError(f"`memory_budget` (={memory_budget}) must be a positive number of bytes")
    if backend not in dispatch.BACKENDS:
        find("backend", backend, dispatch.BACKENDS)  # raises, with a suggestion
    weights.check("attentive_conv2d", x)
    dispatch.check_dtype("attentive_conv2d", x, *weights.tensors())
    if dispatch.takes_chunks(method):
        return attentive_conv2d_by_chunks(x, weights, memory_budget)
    if not dispatch.takes_streaming(method, x, *weights.tensors()):
        return attentive_conv2d_definition(x, weights)
    if dispatch.is_compiling():
        return stream_by_operator(x, weights, memory_budget=memory_budget, backend=backend)
    return stream(x, weights, recompute=recompute, memory_budget=memory_budget, backend=backend)


def input_attention(x: Tensor, weights: InputAttentionWeights) -> Tensor:
    """Input attention: channel and spatial attention on a feature map, x ↦ x - α_X·(α_C·x), as one fused operation.

    Args:
        x: ``(B, C, |H|, Y, X)`` or, planar, ``(B, C, Y, X)``.
        weights: learned weights, the tables of their transforms, and options.

    Returns:
        The shape of x.

    Raises:
        ValueError: if x does not fit the weights or is not real, or there is no gate.

    Source:
        Romero et al., ICML 2020, §5.1, https://arxiv.org/abs/2002.03830.

    Example:
        Weights of zero give maps of one half:

        >>> import torch
        >>> from attentive_gconv.functional import ChannelGate
        >>> gate = ChannelGate(torch.zeros(1, 1), torch.zeros(1, 1), None, ("mean", "max"))
        >>> input_attention(torch.full((1, 1, 1, 1), 8.0), InputAttentionWeights(gate, None)).item()
        4.0
    """
    weights.check("input_attention", x)
    dispatch.check_dtype("input_attention", x, *weights.tensors())
    compiled = dispatch.is_compiled_on_cpu(x, *weights.tensors())
    return (input_attention_fast if compiled else input_attention_definition)(x, weights)
