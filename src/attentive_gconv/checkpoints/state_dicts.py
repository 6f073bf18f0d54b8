"""Comparison and checks of state dicts."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Describe how a state dict differs from what a network needs; an empty list if it fits.

    Args:
        found: tensors or shapes by name.
        wanted: those of the network.

    Example:
        >>> differences({"a": (2, 3), "c": (1,)}, {"a": (2, 2), "b": (1,)})
        ['missing: b', 'left over: c', 'a has shape (2, 3), the model needs (2, 2)']
    """
    problems = []
    if missing := sorted(wanted.keys() - found.keys()):
        problems.append(f"missing: {', '.join(missing)}")
    if left_over := sorted(found.keys() - wanted.keys()):
        problems.append(f"left over: {', '.join(left_over)}")
    for name in sorted(wanted.keys() & found.keys()):
        shapes = tuple(tuple(getattr(entry[name], "shape", entry[name])) for entry in (found, wanted))
        if shapes[0] != shapes[1]:
            problems.append(f"{name} has shape {shapes[0]}, the model needs {shapes[1]}")
    return problems


def unusable(state: Mapping[str, Tensor]) -> list[str]:
    """Describe the tensors that cannot be a network's weights: by their kind, or by values that are not finite.

    Example:
        >>> unusable({"a": torch.tensor([1.0, float("nan")]), "b": torch.ones(2, device="meta")})
        ['a holds values that are not finite', 'b is a tensor on the meta device, without values']
    """
    return [f"{name} {problem}" for name, tensor in sorted(state.items()) if (problem := _problem(tensor))]


def _problem(tensor: Tensor) -> str | None:
    if tensor.device.type == "meta":
        return "is a tensor on the meta device, without values"
    if tensor.layout != torch.strided or tensor.is_quantized:
        kind = "quantized" if tensor.is_quantized else str(tensor.layout).removeprefix("torch.")
        return f"is a {kind} tensor, not a dense one"
    if tensor.dtype == torch.int64:
        return None
    if tensor.dtype not in FLOATS:
        return f"is of {str(tensor.dtype).removeprefix('torch.')}, which weights here are not"
    return None if bool(tensor.isfinite().all()) else "holds values that are not finite"
