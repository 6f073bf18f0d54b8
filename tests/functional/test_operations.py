"""Every operation, definition against fast form: signature, values, all derivatives, vmap, compile, modes."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode

import attentive_gconv as ag
from attentive_gconv import functional as G
from attentive_gconv.functional.fast.conv2d import group_conv2d_fast
from attentive_gconv.functional.fast.full_attention.streaming import stream
from attentive_gconv.functional.fast.input_attention.custom_function import input_attention_fast

# full attention says once that it is computed by its definition
QUIET = pytest.mark.filterwarnings("ignore:under transforms of torch.func")
# what says how a fast form computes, never what
HOW = {"method", "recompute", "memory_budget", "backend"}


@dataclass(frozen=True)
class Case:
    """One operation: its public form, its definition and its fast form; tensors, and a call with them."""

    public: Callable[..., Tensor]
    definition: Callable[..., Tensor]
    fast: Callable[..., Tensor]
    shapes: tuple[tuple[int, ...], ...]
    arguments: Callable[..., tuple[Any, ...]]
    node: str  # the fast form in the graph

    def tensors(self, seed: int = 0) -> list[Tensor]:
        make = torch.Generator().manual_seed(seed)
        return [torch.randn(shape, generator=make, dtype=torch.float64).requires_grad_() for shape in self.shapes]

    def run(self, form: str, *tensors: Tensor) -> Tensor:
        out: Tensor = getattr(self, form)(*self.arguments(*tensors))
        return out


def full(x: Tensor, kernel: Tensor, fc1: Tensor, fc2: Tensor, psi: Tensor) -> tuple[Any, ...]:
    return x, G.FullAttentionWeights(kernel, fc1, fc2, psi, padding=1, scale=1.5)


def attended(x: Tensor, fc1: Tensor, fc2: Tensor, psi: Tensor) -> tuple[Any, ...]:
    p4 = ag.group("p4")
    channel = G.ChannelGate(fc1, fc2, G.kernel_index(p4, over_group=True), ("mean", "max"))
    spatial = G.SpatialGate(psi, G.kernel_index(p4, 3, over_group=True), 1.5, ("mean", "max"), (1, 1))
    return x, G.InputAttentionWeights(channel, spatial, G.SUPPRESS)


def convolved(x: Tensor, kernel: Tensor, bias: Tensor) -> tuple[Any, ...]:
    return x, kernel, bias, 1, 1


X = (2, 2, 4, 5, 6)
CASES = {
    "group convolution": Case(
        *(G.group_conv2d, G.group_conv2d_definition, group_conv2d_fast),
        *((X, (2, 4, 2, 4, 3, 3), (2,)), convolved, "_FewChannelsBackward"),
    ),
    "full attention": Case(
        *(G.attentive_conv2d, G.attentive_conv2d_definition, stream),
        (X, (2, 4, 2, 4, 3, 3), (2, 4, 1, 2, 4), (2, 4, 2, 1, 4), (2, 4, 2, 4, 3, 3)),
        *(full, "AttentiveConvolutionBackward"),
    ),
    "input attention": Case(
        *(G.input_attention, G.input_attention_definition, input_attention_fast),
        *((X, (1, 2, 4), (2, 1, 4), (1, 2, 4, 3, 3)), attended, "_InputAttentionBackward"),
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def test_one_signature(case: Case) -> None:
    def parameters(form: str) -> list[str]:
        return [name for name in inspect.signature(getattr(case, form)).parameters if name not in HOW]

    assert parameters("public") == parameters("definition") == parameters("fast")


def graph_nodes(out: Tensor) -> Iterator[str]:
    seen, waiting = set(), [out.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield type(node).__name__
            waiting += [above for above, _ in node.next_functions]


def is_fast(case: Case, out: Tensor) -> bool:
    return case.node in set(graph_nodes(out))


def test_values_and_gradients(case: Case) -> None:
    tensors = case.tensors()
    out, exact = case.run("public", *tensors), case.run("definition", *tensors)
    assert is_fast(case, out)
    assert not is_fast(case, exact)
    torch.testing.assert_close(out, exact, rtol=1e-10, atol=1e-12)
    grad = torch.randn_like(exact)
    for found, expected in zip(*(torch.autograd.grad(y, tensors, grad) for y in (out, exact)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(case.run("public", *tensors), exact, rtol=1e-10, atol=1e-12)


def test_gradients_of_gradients(case: Case) -> None:
    tensors = case.tensors()
    seconds = []
    for form in ("public", "definition"):
        (first,) = torch.autograd.grad(case.run(form, *tensors).square().sum(), tensors[:1], create_graph=True)
        seconds.append(torch.autograd.grad(first.square().sum(), tensors))
    for found, expected in zip(*seconds, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@QUIET
def test_vmap(case: Case) -> None:
    x, *weights = (tensor.detach() for tensor in case.tensors())
    batch = torch.stack([x, 2 * x, -x])
    found = torch.func.vmap(lambda x: case.run("public", x, *weights))(batch)
    torch.testing.assert_close(found, torch.stack([case.run("definition", x, *weights) for x in batch]))
    gradient = torch.func.grad(lambda x: case.run("public", x, *weights).square().sum())(x)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(case.run("definition", leaf, *weights).square().sum(), leaf)
    torch.testing.assert_close(gradient, expected)


def test_compile(case: Case) -> None:
    torch.compiler.reset()
    tensors = case.tensors()
    compiled = torch.compile(lambda *given: case.run("public", *given), backend="aot_eager", fullgraph=True)
    out, exact = compiled(*tensors), case.run("definition", *tensors)
    torch.testing.assert_close(out, exact, rtol=1e-10, atol=1e-12)
    grad = torch.randn_like(exact)
    for found, expected in zip(*(torch.autograd.grad(y, tensors, grad) for y in (out, exact)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@QUIET
class TestWhateverLooksInsideGetsTheDefinition:
    """One rule for all operations."""

    def test_flop_counter(self, case: Case) -> None:
        counts = {}
        for form in ("public", "definition"):
            tensors = case.tensors()
            with FlopCounterMode(display=False) as counter:
                case.run(form, *tensors).sum().backward()
            counts[form] = counter.get_total_flops()
        assert counts["public"] == counts["definition"] > 0

    def test_flop_counter_around_the_backward_pass_alone(self, case: Case) -> None:
        out = case.run("public", *case.tensors())
        with FlopCounterMode(display=False) as counter:
            out.sum().backward()
        assert counter.get_total_flops() > 0

    def test_fake_and_meta_tensors(self, case: Case) -> None:
        from torch._subclasses.fake_tensor import FakeTensorMode

        shape = case.run("definition", *case.tensors()).shape
        with FakeTensorMode(allow_non_fake_inputs=True):
            fake = [torch.empty(s, dtype=torch.float64, requires_grad=True) for s in case.shapes]
            assert case.run("public", *fake).shape == shape
        meta = [torch.empty(s, dtype=torch.float64, device="meta") for s in case.shapes]
        with torch.device("meta"):
            arguments = case.arguments(*meta)
        assert case.public(*_on_meta(arguments)).shape == shape

    def test_batched_gradients(self, case: Case) -> None:
        tensors = case.tensors()
        out, exact = case.run("public", *tensors), case.run("definition", *tensors)
        grads = torch.randn(3, *out.shape, dtype=torch.float64)
        found = torch.autograd.grad(out, tensors, grads, is_grads_batched=True)
        for number, grad in enumerate(grads):
            expected = torch.autograd.grad(exact, tensors, grad, retain_graph=True)
            for many, one in zip(found, expected, strict=True):
                torch.testing.assert_close(many[number], one, rtol=1e-9, atol=1e-11)

    @pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # within PyTorch's own forward mode
    def test_forward_mode_derivatives(self, case: Case) -> None:
        x, *weights = (tensor.detach() for tensor in case.tensors())
        tangent = torch.randn_like(x)
        found = []
        for form in ("public", "definition"):
            with forward_ad.dual_level():
                out = forward_ad.unpack_dual(case.run(form, forward_ad.make_dual(x, tangent), *weights))
                found.append((out.primal, out.tangent))
        for actual, expected in zip(*found, strict=True):
            torch.testing.assert_close(actual, expected)

    def test_tracing(self, case: Case) -> None:
        from torch.fx.experimental.proxy_tensor import make_fx

        tensors = [tensor.detach() for tensor in case.tensors()]
        graph = make_fx(lambda *given: case.run("public", *given))(*tensors)
        assert any(node.target is torch.ops.aten.convolution.default for node in graph.graph.nodes)
        torch.testing.assert_close(graph(*tensors), case.run("definition", *tensors))

    def test_function_modes_and_default_devices(self, case: Case) -> None:
        from torch.overrides import TorchFunctionMode

        class Look(TorchFunctionMode):
            def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                return function(*args, **(kwargs or {}))

        tensors = case.tensors()
        with Look():
            assert not is_fast(case, case.run("public", *tensors))
        with torch.device("cpu"):
            assert is_fast(case, case.run("public", *tensors))


def test_default_devices_other_than_the_inputs(case: Case) -> None:
    tensors = case.tensors()
    arguments, exact = case.arguments(*tensors), case.run("definition", *tensors)
    grad = torch.randn_like(exact)
    expected = torch.autograd.grad(exact, tensors, grad)
    with torch.device("meta"):
        out = case.public(*arguments)
        found = torch.autograd.grad(out, tensors, grad)
        with torch.no_grad():
            torch.testing.assert_close(case.public(*arguments), exact, rtol=1e-10, atol=1e-12)
    assert is_fast(case, out)
    for actual, gradient in zip(found, expected, strict=True):
        torch.testing.assert_close(actual, gradient, rtol=1e-10, atol=1e-12)


def _on_meta(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The index tables of input attention are data: move them along."""
    if len(arguments) == 2 and isinstance(arguments[1], G.InputAttentionWeights):
        x, parts = arguments
        channel, spatial = parts.channel, parts.spatial
        assert channel is not None
        assert channel.index is not None
        assert spatial is not None
        moved = G.ChannelGate(channel.fc1, channel.fc2, channel.index.to("meta"), channel.statistics)
        placed = G.SpatialGate(
            spatial.weight, spatial.index.to("meta"), spatial.scale, spatial.statistics, spatial.dilation
        )
        return x, G.InputAttentionWeights(moved, placed, parts.combination)
    return arguments


def full_weights(**changed: Any) -> G.FullAttentionWeights:
    shapes = {"kernel": (3, 4, 2, 4, 3, 3), "fc1": (3, 4, 1, 2, 4), "fc2": (3, 4, 2, 1, 4)}
    shapes = {**shapes, "spatial_kernel": (3, 4, 2, 4, 5, 5), **changed}
    tensors = {name: torch.randn(shape) if isinstance(shape, tuple) else shape for name, shape in shapes.items()}
    return G.FullAttentionWeights(**tensors)


def input_weights(**changed: Any) -> G.InputAttentionWeights:
    shapes = {"fc1": (1, 2, 4), "fc2": (2, 1, 4), "psi": (1, 2, 4, 3, 3), **changed}
    fc1, fc2, psi = (torch.randn(shapes[name]) for name in ("fc1", "fc2", "psi"))
    index = changed.get("index", G.kernel_index(ag.group("p4"), 3, over_group=True))
    table = changed.get("table", G.kernel_index(ag.group("p4"), over_group=True))
    kinds = changed.get("kinds", ("mean", "max"))
    gates = (
        G.ChannelGate(fc1, fc2, table, kinds),
        G.SpatialGate(psi, index, 1.0, kinds, changed.get("dilation", (1, 1))),
    )
    return G.InputAttentionWeights(*gates)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kernel": (3, 4, 2, 4, 3, 2)}, r"`kernel` of shape .* must be \(O, \|H\|, C, \|H'\|, k, k\)"),
        ({"fc1": (3, 4, 1, 3, 4)}, r"`fc1` of shape .* must be .* = \(3, 4, R, 2, 4\), as the kernel"),
        ({"fc2": (3, 4, 2, 2, 4)}, r"`fc2` of shape .* must be .* = \(3, 4, 2, 1, 4\), as kernel and fc1"),
        ({"spatial_kernel": (3, 4, 2, 4, 4, 4)}, r"`spatial_kernel` of shape .*, a odd"),
        ({"spatial_kernel": (3, 4, 2, 1, 5, 5)}, r"`spatial_kernel` of shape .*, a odd"),
        ({"dilation": 0}, r"`dilation` \(=0\) .* must be at least 1"),
        ({"padding": -1}, r"`padding` \(=-1\) at least 0"),
    ],
)
def test_weights_of_full_attention_that_do_not_fit_each_other(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        full_weights(**changed)


# compiled kernels check no bounds: what does not fit must not reach them
@pytest.mark.parametrize("shape", [(2, 3, 4, 6, 6), (2, 2, 2, 6, 6), (2, 2, 6, 6), (2, 2, 4, 2, 6)])
@pytest.mark.parametrize("method", ["streaming", "definition"])
def test_maps_that_do_not_fit_full_attention(shape: tuple[int, ...], method: str) -> None:
    with pytest.raises(ValueError, match=r"`x` .*(as the kernel|smaller than the kernel)"):
        G.attentive_conv2d(torch.randn(shape), full_weights(), method=method)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fc1": (1, 3, 4)}, r"`fc1` of shape \(1, 3, 4\) must be \(R, C, \|H\|\) = \(R, 2, 4\), as x"),
        ({"fc2": (2, 2, 4)}, r"`fc2` of shape \(2, 2, 4\) must be .* = \(2, 1, 4\), as x and fc1"),
        ({"table": None}, r"`index` \(None\) of the channel gate must be a table"),
        ({"psi": (1, 1, 4, 3, 3)}, r"`weight` of shape .* must be .* = \(1, 2, 4, k, k\) with k odd, as x"),
        ({"psi": (1, 2, 4, 4, 4)}, r"`weight` of shape .* with k odd"),
        ({"psi": (1, 2, 4, 5, 5)}, r"`index` of shape .* must be .*, as the weight"),
        ({"kinds": ("mean", "min")}, r"`statistics` \(=\('mean', 'min'\)\) must be a tuple of different ones"),
        ({"kinds": ("mean", "mean")}, r"`statistics` .* must be a tuple of different ones"),
        ({"dilation": (0, 1)}, r"`dilation` \(=\(0, 1\)\) of the spatial gate must be at least 1"),
    ],
)
def test_weights_that_do_not_fit_input_attention(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        G.input_attention(torch.randn(2, 2, 4, 6, 6), input_weights(**changed))


@pytest.mark.parametrize("shape", [(2, 3, 4, 6, 6), (2, 2, 2, 6, 6), (2, 2, 6, 6), (2, 2, 4)])
def test_maps_that_do_not_fit_input_attention(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"of shape .* must be|index"):
        G.input_attention(torch.randn(shape), input_weights())


def test_gates_without_hidden_units() -> None:
    with pytest.raises(ValueError, match=r"`fc1` of shape \(0, 2, 4\) must be \(R, C, \|H\|\)"):
        G.input_attention(torch.randn(2, 2, 4, 6, 6), input_weights(fc1=(0, 2, 4), fc2=(2, 0, 4)))
    kernel = torch.randn(3, 4, 2, 4, 3, 3)
    with pytest.raises(ValueError, match=r"`fc1` of shape \(3, 4, 0, 2, 4\) must be"):
        G.FullAttentionWeights(kernel, torch.zeros(3, 4, 0, 2, 4), torch.zeros(3, 4, 2, 0, 4))
    with pytest.raises(ValueError, match=r"`kernel` of shape \(0, 4, 2, 4, 3, 3\) must be"):
        G.FullAttentionWeights(kernel[:0], spatial_kernel=torch.randn(0, 4, 2, 4, 3, 3))


@pytest.mark.parametrize(("given", "missing"), [("fc1", "fc2"), ("fc2", "fc1")])
def test_half_a_gate(given: str, missing: str) -> None:
    weights = full_weights()
    with pytest.raises(ValueError, match=f"`{given}` is given without `{missing}`: a channel gate needs both"):
        G.FullAttentionWeights(
            weights.kernel, spatial_kernel=weights.spatial_kernel, **{given: getattr(weights, given)}
        )


@pytest.mark.parametrize("method", ["streaming", "definition"])
@pytest.mark.parametrize("batch", [0, 1])
def test_an_unknown_backend(method: str, batch: int) -> None:
    with pytest.raises(ValueError, match="unknown backend 'nonsense'"):
        G.attentive_conv2d(torch.randn(batch, 2, 4, 6, 6), full_weights(), method=method, backend="nonsense")


def test_input_attention_without_gates() -> None:
    with pytest.raises(ValueError, match="needs a channel gate, a spatial gate, or both; got neither"):
        G.input_attention(torch.randn(2, 2, 4, 6, 6), G.InputAttentionWeights(None, None))


@pytest.mark.parametrize(
    ("operation", "weights"), [(G.attentive_conv2d, full_weights), (G.input_attention, input_weights)]
)
def test_dtypes_that_attention_refuses(operation: Callable[..., Tensor], weights: Callable[[], Any]) -> None:
    x = torch.randn(2, 2, 4, 6, 6)
    for dtype in (torch.int64, torch.complex64):
        with pytest.raises(ValueError, match=f"takes real floating-point input, got dtype {dtype}"):
            operation(x.to(dtype), weights())
    with pytest.raises(ValueError, match=r"got x of dtype torch\.float64 and weights of dtype torch\.float32: convert"):
        operation(x.double(), weights())
    with torch.autocast("cpu", torch.bfloat16):
        assert operation(x.bfloat16(), weights()).shape[-2:] in ((4, 4), (6, 6))


def test_weights_changed_in_place_between_calls() -> None:
    x, weights = torch.randn(2, 2, 4, 6, 6), full_weights()
    for mode in (torch.enable_grad, torch.no_grad):
        with mode():
            G.attentive_conv2d(x, weights)
            weights.kernel.mul_(2)
            exact = G.attentive_conv2d_definition(x, weights)
            torch.testing.assert_close(G.attentive_conv2d(x, weights), exact, rtol=1e-4, atol=1e-4)
