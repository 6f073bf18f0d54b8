"""Whatever is done to a submodule has its effect: pruning, hooks, parametrizations, replaced and compiled forwards."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

import attentive_gconv as ag
from attentive_gconv.nn.packed_weights import is_plain
from helpers import KIND, build, maps

# (layer, path of the part, the part's weight)
PARTS = [
    ("full_group", "channel_attention", "weight_fc1"),
    ("full_group", "spatial_attention", "weight"),
    ("full_lifting", "channel_attention", "weight_fc2"),
    ("full_lifting", "spatial_attention", "weight"),
    ("input_group", "attention.channel_attention", "weight_fc1"),
    ("input_group", "attention.spatial_attention", "weight"),
    ("input_lifting", "attention.channel_attention", "weight_fc2"),
    ("input_lifting", "attention.spatial_attention", "weight"),
    ("group", "", "weight"),
]


class Used:
    """A layer that has run in training and in inference, and one of its parts."""

    def __init__(self, kind: str, path: str, name: str) -> None:
        self.layer = build(KIND[kind], "p4", 3, 2, 3, padding=1)
        self.part, self.name = self.layer.get_submodule(path), name
        self.path, self.x = path, maps("p4", 3, 6, 6, lifting=KIND[kind].lifting)
        self.original: Tensor = getattr(self.part, name).detach().clone()
        self.train()
        self.infer()

    def train(self) -> list[Tensor]:
        """The output and the gradients, twice in a row."""
        self.layer.train().zero_grad()
        for _ in range(2):
            out = self.layer(self.x)
            out.square().sum().backward()
        return [out.detach(), *(p.grad for p in self.layer.parameters() if p.grad is not None)]

    def infer(self) -> Tensor:
        with torch.no_grad():
            out: Tensor = self.layer.eval()(self.x)
        return out

    def expected(self, weight: Tensor) -> Tensor:
        """The output of the untouched layer with another weight."""
        with torch.no_grad():
            return torch.func.functional_call(
                self.twin, {f"{self.path}.{self.name}".lstrip("."): weight}, (self.x,)
            ).detach()

    twin: nn.Module

    def keep_twin(self) -> "Used":
        self.twin = copy.deepcopy(self.layer).eval()
        return self


@pytest.fixture(params=PARTS, ids=lambda part: "-".join(part[:2]))
def used(request: pytest.FixtureRequest) -> Used:
    return Used(*request.param).keep_twin()


def agrees(used: Used, weight: Tensor) -> None:
    """The layer computes with this weight, in training and in inference, and its gradients can be taken again."""
    expected = used.expected(weight)
    assert not torch.allclose(expected, used.expected(used.original))
    torch.testing.assert_close(used.infer(), expected)
    torch.testing.assert_close(used.train()[0], expected)
    torch.testing.assert_close(used.infer(), expected)


def test_pruning(used: Used) -> None:
    prune.l1_unstructured(used.part, used.name, amount=0.5)
    agrees(used, used.original * getattr(used.part, f"{used.name}_mask"))
    with torch.no_grad():
        getattr(used.part, f"{used.name}_orig").mul_(2)
    agrees(used, 2 * used.original * getattr(used.part, f"{used.name}_mask"))
    prune.remove(used.part, used.name)
    agrees(used, 2 * used.original * (getattr(used.part, used.name) != 0))


class Double(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def test_parametrizations(used: Used) -> None:
    parametrize.register_parametrization(used.part, used.name, Double())
    agrees(used, 2 * used.original)
    parametrize.remove_parametrizations(used.part, used.name)
    agrees(used, 2 * used.original)


def test_hooks_before_the_call(used: Used) -> None:
    """As FSDP and offloading do: the weights are there from the hook on."""

    def triple(part: nn.Module, _: Any) -> None:
        with torch.no_grad():
            getattr(part, used.name).copy_(3 * used.original)

    handle = used.part.register_forward_pre_hook(triple)
    agrees(used, 3 * used.original)
    handle.remove()
    agrees(used, 3 * used.original)


@pytest.fixture
def everywhere() -> Iterator[list[nn.Module]]:
    """The modules that a hook on all modules sees."""
    seen: list[nn.Module] = []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(module))
    yield seen
    handle.remove()


def test_hooks_on_all_modules(used: Used, everywhere: list[nn.Module]) -> None:
    for run in (used.train, used.infer):
        everywhere.clear()
        run()
        assert any(module is used.part for module in everywhere)


def test_hooks_on_one_module(used: Used) -> None:
    seen: list[Any] = []
    handle = used.part.register_forward_hook(lambda *called: seen.append(called))
    used.train()
    used.infer()
    assert len(seen) == 3
    handle.remove()
    before = len(seen)
    used.infer()
    assert len(seen) == before


def test_replaced_forwards(used: Used) -> None:
    forward: Callable[..., Any] = used.part.forward
    calls = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return forward(*args, **kwargs)

    used.part.forward = counted  # type: ignore[method-assign]
    expected = used.expected(used.original)
    torch.testing.assert_close(used.infer(), expected)
    torch.testing.assert_close(used.train()[0], expected)
    assert len(calls) == 3


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # within Dynamo itself
def test_compiled_parts(used: Used) -> None:
    torch.compiler.reset()
    graphs = []

    def look(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append(graph)
        return graph

    used.part.compile(backend=look)
    torch.testing.assert_close(used.infer(), used.expected(used.original))
    assert graphs
    torch.testing.assert_close(used.train()[0], used.expected(used.original))


def test_maps_in_parallel_are_called() -> None:
    """Only the logits of their maps are used, but the maps are called for them."""
    layer = ag.nn.InputAttention("p4", 3, order="parallel", dtype=torch.float64)
    x, seen = maps("p4", 3, 6, 6), []
    expected = layer(x)
    for part in layer.parallel_attention.maps.values():
        part.register_forward_hook(lambda *called: seen.append(called))
    torch.testing.assert_close(layer(x), expected)
    assert len(seen) == 2


def test_plain_modules() -> None:
    class Louder(ag.nn.ChannelAttention):
        pass

    assert is_plain(ag.nn.ChannelAttention("p4", 2), ag.nn.ChannelAttention)
    assert not is_plain(Louder("p4", 2), ag.nn.ChannelAttention)
