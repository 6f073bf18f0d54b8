"""Group convolutions under `torch.compile`: one operator that chooses the form at every call."""

from typing import Any

import pytest
import torch
from torch import Tensor

import attentive_gconv as ag
from attentive_gconv.functional.fast.irreps_conv import form_rule
from attentive_gconv.functional.fast.irreps_conv.form_rule import elements_of, group_of
from helpers import relative_error

pytest.importorskip("numba")
OPERATOR = torch.ops.attentive_gconv.group_conv2d.default
FORMS = {"irreps": True, "expanded": False}


def layer_and_map(group: str = "p4", **options: Any) -> tuple[ag.nn.GroupConv2d, Tensor]:
    torch.manual_seed(0)
    layer = ag.nn.GroupConv2d(group, 3, 4, 3, padding=1, dtype=torch.float64, **options)
    if layer.bias is not None:
        torch.nn.init.normal_(layer.bias)
    return layer, torch.randn(2, 3, layer.group.order, 6, 7, dtype=torch.float64, requires_grad=True)


def targets(layer: torch.nn.Module, x: Tensor) -> list[Any]:
    """What a compiler sees of the layer."""
    called: list[Any] = []

    def look(graph: torch.fx.GraphModule, _: Any) -> Any:
        called.extend(node.target for node in graph.graph.nodes if node.op == "call_function")
        return graph

    torch.compiler.reset()
    torch.compile(layer, backend=look, fullgraph=True)(x)
    return called


def results(function: Any, layer: torch.nn.Module, x: Tensor, of_x: bool) -> list[Tensor]:
    x = x.detach().requires_grad_(of_x)
    out = function(x)
    torch.manual_seed(1)
    wanted = [leaf for leaf in (x, *layer.parameters()) if leaf.requires_grad]
    return [out, *torch.autograd.grad(out, wanted, torch.randn_like(out))]


@pytest.mark.parametrize("of_x", [True, False])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("options", [{"bias": True}, {"stride": 2}, {"dilation": 2, "group": "p4m"}])
def test_compiled_layers_keep_the_form(options: dict[str, Any], form: str, of_x: bool, monkeypatch) -> None:
    layer, x = layer_and_map(**options)
    layer.conv = "expanded"
    expected = results(layer, layer, x, of_x)
    layer.conv = "auto"
    # the rule of the trace, then that of the call
    monkeypatch.setattr(form_rule, "irreps_are_faster", lambda size: size.positions == form_rule.LARGE)
    operator = "attentive_gconv.functional.fast.irreps_conv.irreps_operator.irreps_are_faster"
    monkeypatch.setattr(operator, lambda size: FORMS[form])
    called = targets(layer, x)
    assert OPERATOR in called or OPERATOR.overloadpacket in called
    torch.compiler.reset()
    found = results(torch.compile(layer, backend="aot_eager", fullgraph=True), layer, x, of_x)
    for ours, theirs in zip(found, expected, strict=True):
        assert relative_error(ours, theirs) < 1e-12


def test_layers_in_which_irreps_cannot_pay_are_seen_as_conv2d() -> None:
    small, x = ag.nn.GroupConv2d("c2", 1, 1, 3), torch.randn(2, 1, 2, 9, 9)
    assert torch.nn.functional.conv2d in targets(small, x)
    layer, x = layer_and_map("p4m")
    layer.conv = "expanded"
    assert torch.nn.functional.conv2d in targets(layer, x)


def test_one_graph_for_all_sizes_with_and_without_gradients() -> None:
    layer, _ = layer_and_map("p4m")
    layer.conv = "irreps"
    torch.compiler.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=True)
    for side in (6, 7, 9):
        x = torch.randn(side - 4, 3, 8, side, side, dtype=torch.float64)
        assert relative_error(compiled(x), layer(x)) < 1e-12
        with torch.no_grad():
            assert relative_error(compiled(x), layer(x)) < 1e-12


def test_transforms_and_autocast_inside_take_conv2d() -> None:
    layer, x = layer_and_map("p4m")
    layer.conv = "irreps"
    expected = layer(x).detach()
    torch.compiler.reset()
    mapped = torch.compile(torch.func.vmap(lambda one: layer(one[None])[0]), backend="aot_eager")
    assert relative_error(mapped(x.detach()), expected) < 1e-12
    layer.float()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.compile(layer, backend="aot_eager")(x.detach().float()).dtype == torch.bfloat16


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # within the check itself
@pytest.mark.parametrize("form", ["auto", "irreps"])
def test_the_operator_is_registered_as_pytorch_asks(form: str) -> None:
    layer, x = layer_and_map(bias=True)
    elements, sizes = elements_of(layer.group), [1, 1, 1, 1, 1, 1]
    report = torch.library.opcheck(OPERATOR, (x, layer.weight, layer.bias, elements, 0.7, sizes, form, True))
    assert set(report.values()) == {"SUCCESS"}


@pytest.mark.parametrize("name", ["c2", "d2", "p4m"])
def test_groups_survive_as_numbers(name: str) -> None:
    group = ag.group(name)
    assert group_of(elements_of(group)).matrices == group.matrices
