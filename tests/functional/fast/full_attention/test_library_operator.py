"""Full attention under `torch.compile`: the streaming form as one operator, not the definition."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attentive_gconv as ag

BACKENDS = ["numba", "torch"]
PARTS: list[dict[str, Any]] = [{}, {"channel": False}, {"spatial": False, "stride": 2, "dilation": 2}]
OPERATOR = torch.ops.attentive_gconv.attentive_conv2d.default


def _layer(kind: str, **options: Any) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    made = getattr(ag.nn, f"Attentive{kind}Conv2d")("p4", 2, 3, 3, padding=1, dtype=torch.float64, **options)
    sizes = (2, 4, 6, 7) if kind == "Group" else (2, 6, 7)
    return made, torch.randn(3, *sizes, dtype=torch.float64)


def _results(function: Any, layer: nn.Module, x: Tensor) -> list[Tensor]:
    leaf = x.clone().requires_grad_()
    layer.zero_grad()
    out = function(leaf)
    out.square().sum().backward()
    gradients = [p.grad for p in layer.parameters() if p.grad is not None]
    assert len(gradients) == len(list(layer.parameters()))
    return [out.detach(), *(g.clone() for g in (leaf.grad, *gradients) if g is not None)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", PARTS)
@pytest.mark.parametrize("kind", ["Lifting", "Group"])
def test_compiled_layers_keep_the_streaming_form(kind: str, options: dict[str, Any], backend: str) -> None:
    layer, x = _layer(kind, **options)
    layer.configure(backend=backend)
    called: list[Any] = []

    def look(graph: torch.fx.GraphModule, _: Any) -> Any:
        called.extend(node.target for node in graph.graph.nodes if node.op == "call_function")
        return graph

    torch.compiler.reset()
    torch.testing.assert_close(torch.compile(layer, backend=look, fullgraph=True)(x), layer(x))
    assert OPERATOR in called or OPERATOR.overloadpacket in called
    torch.compiler.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    expected = _results(layer, layer, x)
    for found, exact in zip(_results(compiled, layer, x), expected, strict=True):
        torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-12)
    layer.configure(method="definition")
    for found, exact in zip(_results(layer, layer, x), expected, strict=True):
        torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # within the check itself
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("missing", [(), ("fc1", "fc2"), ("psi",)])
def test_the_operator_is_registered_as_pytorch_asks(missing: tuple[str, ...], backend: str) -> None:
    """Schema, shapes of results that compilers are told, gradients, dynamic shapes: PyTorch's own check."""
    make = torch.Generator().manual_seed(1)

    def draw(name: str, *shape: int) -> Tensor | None:
        drawn = torch.randn(shape, generator=make, dtype=torch.float64, requires_grad=True)
        return None if name in missing else drawn

    gates = (draw("fc1", 3, 2, 2, 3, 2), draw("fc2", 3, 2, 3, 2, 2))
    weights = (draw("kernel", 3, 2, 3, 2, 3, 3), *gates, draw("psi", 3, 2, 2, 2, 3, 3))
    sizes = [2, 1, 1, 1, 1, 1, 1]
    arguments = (draw("x", 2, 3, 2, 5, 6), *weights, sizes, [1.3, 1.0, -1.0], 1 << 20, backend)
    report = torch.library.opcheck(OPERATOR, arguments)
    assert set(report.values()) == {"SUCCESS"}


def test_other_sizes_are_compiled_with_sizes_unknown() -> None:
    layer, _ = _layer("Group")
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=True)
    for side in (6, 7, 9):
        x = torch.randn(side - 4, 2, 4, side, side, dtype=torch.float64)
        torch.testing.assert_close(compiled(x), layer(x), rtol=1e-12, atol=1e-12)


def test_export_takes_standard_operators() -> None:
    layer, x = _layer("Group")
    program = torch.export.export(layer.eval(), (x,))
    assert all("attentive_gconv" not in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(x), layer(x), rtol=1e-10, atol=1e-10)
