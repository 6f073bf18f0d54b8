"""The streaming form on the CPU against the definition: values, every gradient, memory budgets, NaN, threads."""

import warnings
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import attentive_gconv as ag
from attentive_gconv.functional import (
    COMBINATIONS,
    FullAttentionWeights,
    attentive_conv2d,
    attentive_conv2d_definition,
)
from attentive_gconv.functional.fast import dispatch
from attentive_gconv.functional.fast.dispatch import available_backends

BACKENDS = ["numba", "torch"]
NAMES = ["kernel", "fc1", "fc2", "spatial_kernel"]


class Operation(NamedTuple):
    """Inputs of one attentive convolution; the tensors in the order of the signature."""

    tensors: tuple[Tensor | None, ...]
    options: dict[str, Any]

    def weights(self) -> FullAttentionWeights:
        """Weights and options as the operations take them."""
        return FullAttentionWeights(*self.tensors[1:], **self.options)

    def run(self, function: Any, **how: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The output, and the gradient of everything for one fixed cotangent."""
        leaves = [None if t is None else t.detach().clone().requires_grad_() for t in self.tensors]
        out = function(leaves[0], FullAttentionWeights(*leaves[1:], **self.options), **how)
        cotangent = torch.randn(out.shape, generator=torch.Generator().manual_seed(3), dtype=out.dtype)
        out.backward(cotangent)
        return out.detach(), {
            name: leaf.grad for name, leaf in zip(["x", *NAMES], leaves, strict=True) if leaf is not None
        }


def operation(
    *,
    order: int = 4,
    depth: int = 4,
    channels: int = 3,
    outputs: int = 3,
    batch: int = 2,
    size: tuple[int, int] = (7, 6),
    side: int = 3,
    parts: tuple[bool, bool] = (True, True),
    hidden: int = 2,
    map_side: int = 7,
    map_dilation: int = 1,
    rectified: bool = True,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    **options: Any,
) -> Operation:
    make = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=make, dtype=dtype)

    x = draw(batch, channels, depth, *size)
    channel, spatial = parts
    return Operation(
        (
            x.relu() if rectified else x,  # relu makes all-zero patches, whose maxima tie
            draw(outputs, order, channels, depth, side, side),
            draw(outputs, order, hidden, channels, depth) if channel else None,
            draw(outputs, order, channels, hidden, depth) if channel else None,
            draw(outputs, order, 2, depth, map_side, map_side) / map_side if spatial else None,
        ),
        {"spatial_dilation": map_dilation, "scale": 1.3, **options},
    )


def assert_agrees(case: Operation, limit: float = 1e-10, **how: Any) -> None:
    exact, gradients = case.run(attentive_conv2d_definition)
    out, found = case.run(attentive_conv2d, **how)
    assert out.shape == exact.shape
    errors = {"out": _relative(out, exact)}
    errors |= {name: _relative(found[name], gradient) for name, gradient in gradients.items()}
    assert {name: error for name, error in errors.items() if not error <= limit} == {}


def _relative(actual: Tensor, expected: Tensor) -> float:
    scale = expected.abs().max()
    return float((actual - expected).abs().max() / (scale if scale > 0 else 1))


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    side = draw(st.integers(1, 4))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    # maps that the kernel fits in, down to one output position
    smallest = [max(1, d * (side - 1) + 1 - 2 * p) for d, p in zip(dilation, padding, strict=True)]
    size = tuple(low + draw(st.integers(0, 4)) for low in smallest)
    order = draw(st.sampled_from([1, 4, 8]))
    return operation(
        order=order,
        depth=draw(st.sampled_from([1, order])),  # 1: a lifting layer
        channels=draw(st.integers(1, 4)),
        outputs=draw(st.integers(1, 3)),
        batch=draw(st.integers(1, 2)),
        size=size,
        side=side,
        parts=draw(st.sampled_from([(True, True), (True, False), (False, True)])),
        hidden=draw(st.integers(1, 3)),
        map_side=draw(st.sampled_from([1, 3, 7])),
        map_dilation=draw(st.integers(1, 2)),
        rectified=draw(st.booleans()),
        seed=draw(st.integers(0, 2**16)),
        stride=draw(pairs),
        padding=padding,
        dilation=dilation,
        combination=COMBINATIONS[draw(st.sampled_from(sorted(COMBINATIONS)))],
    )


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=60)
@given(case=operations(), recompute=st.booleans(), budget=st.sampled_from([1, 5000, 64 << 20]))
def test_agrees_with_the_definition(backend: str, case: Operation, recompute: bool, budget: int) -> None:
    assert_agrees(case, backend=backend, recompute=recompute, memory_budget=budget)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("parts", [(True, True), (True, False), (False, True)])
def test_the_first_of_equal_maxima_takes_the_gradient(backend: str, parts: tuple[bool, bool]) -> None:
    """A constant input: at every place and in every channel all responses tie."""
    case = operation(parts=parts, channels=4)
    x, kernel, *attention = case.tensors
    same = kernel[:, :, :1].expand_as(kernel).clone()
    assert_agrees(Operation((torch.ones_like(x), same, *attention), case.options), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("parts", [(True, True), (True, False), (False, True)])
def test_what_is_not_finite_spreads_as_in_the_definition(backend: str, value: float, parts: tuple[bool, bool]) -> None:
    """The output is finite in the same places; what is not never becomes a finite gradient of the spoilt sample."""
    case = operation(parts=parts, rectified=False, map_side=3, size=(9, 9))
    x = case.tensors[0].clone()
    x[0, 1, 2, 4, 3] = value
    spoilt = Operation((x, *case.tensors[1:]), case.options)
    exact, gradients = spoilt.run(attentive_conv2d_definition)
    out, found = spoilt.run(attentive_conv2d, backend=backend)
    assert not exact[0].isfinite().all()
    torch.testing.assert_close(out, exact, equal_nan=True)
    with torch.no_grad():
        kept_nothing = attentive_conv2d(x, spoilt.weights(), backend=backend)
    torch.testing.assert_close(kept_nothing, exact, equal_nan=True)
    for name, gradient in gradients.items():
        lost = ~gradient.isfinite() & found[name].isfinite()
        assert not lost.any(), name
    assert torch.equal(found["x"][1].isfinite(), gradients["x"][1].isfinite())
    torch.testing.assert_close(found["x"][1], gradients["x"][1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_single_precision_and_autocast(backend: str) -> None:
    case = operation(dtype=torch.float32)
    assert_agrees(case, limit=1e-5, backend=backend)
    exact, _ = case.run(attentive_conv2d)
    for low in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", low):
            out, gradients = case.run(attentive_conv2d, backend=backend)
        assert out.dtype == low
        assert {gradient.dtype for gradient in gradients.values()} == {torch.float32}
        torch.testing.assert_close(out.float(), exact, rtol=0.02, atol=0.02 * float(exact.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("parts", [(True, True), (True, False), (False, True)])
def test_inference_has_the_bits_of_training(parts: tuple[bool, bool], dtype: torch.dtype) -> None:
    """Compiled kernels that keep nothing for backward are other code."""
    case = operation(parts=parts, channels=5, outputs=5, size=(9, 8), dtype=dtype, stride=(2, 1), padding=1)
    x, weights = case.tensors[0].requires_grad_(), case.weights()
    trained = attentive_conv2d(x, weights, backend="numba")
    with torch.no_grad():
        inferred = attentive_conv2d(x, weights, backend="numba")
    assert trained.grad_fn is not None
    assert torch.equal(trained, inferred)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("parts", [(True, True), (True, False), (False, True)])
def test_gradcheck(backend: str, parts: tuple[bool, bool]) -> None:
    case = operation(parts=parts, batch=1, channels=2, outputs=1, depth=1, order=2, size=(4, 4), rectified=False)
    present = [tensor.requires_grad_() for tensor in case.tensors if tensor is not None]

    def function(*given_tensors: Tensor) -> Tensor:
        waiting = iter(given_tensors)
        full = [None if tensor is None else next(waiting) for tensor in case.tensors]
        return attentive_conv2d(full[0], FullAttentionWeights(*full[1:], **case.options), backend=backend)

    assert torch.autograd.gradcheck(function, present)


@pytest.mark.parametrize("backend", BACKENDS)
def test_more_channels_than_a_byte_numbers(backend: str) -> None:
    assert_agrees(operation(channels=300, depth=1, order=1, outputs=1, size=(4, 3)), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_more_positions_than_two_bytes_number(backend: str) -> None:
    """Nor do the responses of such maps stay in cache: the kernels compute them twice."""
    case = operation(channels=2, depth=1, order=1, outputs=3, batch=1, size=(200, 211), hidden=1, map_side=3)
    assert_agrees(case, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_change_nothing_but_rounding(backend: str, request: pytest.FixtureRequest) -> None:
    case = operation(batch=5, outputs=5)
    before = torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(before))
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        assert_agrees(case, backend=backend)
        first, second = (case.run(attentive_conv2d, backend=backend) for _ in range(2))
        assert torch.equal(first[0], second[0])
        assert all(torch.equal(first[1][name], second[1][name]) for name in first[1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_some_gradients_only(backend: str) -> None:
    """Frozen weights, or an input that needs no gradient, change nothing for the others."""
    case = operation()
    _, gradients = case.run(attentive_conv2d_definition)
    for name, tensor in zip(["x", *NAMES], case.tensors, strict=True):
        tensor.requires_grad_()
        attentive_conv2d(case.tensors[0], case.weights(), backend=backend).backward(
            torch.randn(2, 3, 4, *(5, 4), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        )
        assert _relative(tensor.grad, gradients[name]) < 1e-10
        assert all(other.grad is None for other in case.tensors if other is not tensor)
        tensor.requires_grad_(False)
        tensor.grad = None


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_changed_in_place_before_backward_are_noticed(backend: str) -> None:
    case = operation()
    kernel = case.tensors[1].requires_grad_()
    weight = kernel * 1
    weights = FullAttentionWeights(weight, *case.tensors[2:], **case.options)
    out = attentive_conv2d(case.tensors[0], weights, backend=backend)
    with torch.no_grad():
        weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("parts", [(True, True), (True, False), (False, True)])
def test_gradients_of_gradients(parts: tuple[bool, bool]) -> None:
    """A gradient penalty: the gradient of the input's gradient, for the input and every weight."""
    case = operation(parts=parts, rectified=False)
    seconds = {}
    for method in ("definition", "streaming"):
        leaves = [tensor.clone().requires_grad_() for tensor in case.tensors if tensor is not None]
        waiting = iter(leaves)
        full = [None if tensor is None else next(waiting) for tensor in case.tensors]
        out = attentive_conv2d(full[0], FullAttentionWeights(*full[1:], **case.options), method=method)
        (gradient,) = torch.autograd.grad(out.square().sum(), full[0], create_graph=True)
        seconds[method] = torch.autograd.grad(gradient.square().sum(), leaves)
    for found, exact in zip(seconds["streaming"], seconds["definition"], strict=True):
        assert _relative(found, exact) < 1e-10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "stream"}, "did you mean 'streaming'"),
        ({"backend": "numpy"}, "did you mean 'numba'"),
        ({"memory_budget": 0}, r"`memory_budget` \(=0\) must be a positive number of bytes"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    case = operation()
    with pytest.raises(ValueError, match=message):
        attentive_conv2d(case.tensors[0], case.weights(), **options)


def test_no_attention_at_all_is_an_error() -> None:
    case = operation()
    with pytest.raises(ValueError, match="needs a channel gate"):
        FullAttentionWeights(case.tensors[1], **case.options)


def test_an_empty_batch() -> None:
    case = operation(batch=0)
    assert attentive_conv2d(case.tensors[0], case.weights()).shape == (0, 3, 4, 5, 4)


def test_the_fallback_says_so_once(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    dispatch.fastest_backend.cache_clear()
    request.addfinalizer(dispatch.fastest_backend.cache_clear)
    monkeypatch.setattr(dispatch, "available_backends", lambda: {"numba": False, "torch": True})
    case = operation()
    with pytest.warns(RuntimeWarning, match=r"pip install 'attentive-gconv\[fast\]'"):
        attentive_conv2d(case.tensors[0], case.weights())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attentive_conv2d(case.tensors[0], case.weights())
    assert_agrees(case)


def test_both_backends_are_tested_here() -> None:
    assert {name for name, here in available_backends().items() if here} >= set(BACKENDS)


def test_a_model_computes_the_same_either_way() -> None:
    model = ag.create_model("alpha_p4cnn", dropout=0.0).double()
    images = torch.randn(2, 1, 28, 28, dtype=torch.float64)
    results = {}
    for name, how in {
        "definition": {"method": "definition"},
        "streaming": {"method": "streaming", "backend": "auto"},
        "recompute": {"recompute": True},
        "little memory": {"memory_budget": 10_000},
    }.items():
        ag.nn.configure_attention(model, **how)
        model.zero_grad()
        logits = model(images)
        logits.square().sum().backward()
        results[name] = [logits.detach(), *(p.grad.clone() for p in model.parameters())]
    for name in results.keys() - {"definition"}:
        for found, exact in zip(results[name], results["definition"], strict=True):
            assert _relative(found, exact) < 1e-10, name


def test_function_transforms_take_the_definition_and_say_so_once() -> None:
    dispatch._warn_that_the_definition_runs.cache_clear()
    layer = ag.nn.AttentiveGroupConv2d("p4", 2, 2, 3, dtype=torch.float64)
    maps = torch.randn(3, 1, 2, 4, 5, 5, dtype=torch.float64)
    with pytest.warns(RuntimeWarning, match="under transforms of torch.func"):
        mapped = torch.func.vmap(layer)(maps)
    torch.testing.assert_close(mapped, torch.stack([layer(x) for x in maps]))
    leaf = maps[0].clone().requires_grad_()
    layer(leaf).square().sum().backward()
    torch.testing.assert_close(torch.func.grad(lambda x: layer(x).square().sum())(maps[0]), leaf.grad)
