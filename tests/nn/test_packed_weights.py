"""The kept kernels: used where they may be, dropped whenever a weight changes, and no part of a module's state."""

import copy
import io
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import attentive_gconv as ag
from attentive_gconv.nn.packed_weights import PackedWeightsCache, TransformedWeights
from helpers import KIND, build, maps

USERS = ["lifting", "group", "full_lifting", "full_group", "input_lifting", "input_group"]


def weights(layer: nn.Module) -> list[tuple[TransformedWeights, str]]:
    """Every weight that is used in its transforms, as (module, name)."""
    return [(part, name) for part in layer.modules() if isinstance(part, TransformedWeights) for name in part._tables]


def caches(layer: nn.Module) -> list[PackedWeightsCache]:
    """Every cache there is."""
    return [part._cache for part in layer.modules() if isinstance(part, TransformedWeights)]


def kept(layer: nn.Module) -> list[object]:
    """What the caches hold."""
    return [cache._entry for cache in caches(layer)]


def without_cache(layer: nn.Module, x: Tensor) -> Tensor:
    """The output with gradients on, where nothing is kept."""
    with torch.enable_grad():
        return copy.deepcopy(layer)(x).detach()


@pytest.fixture(params=USERS)
def used(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor]:
    """A layer in eval mode that has kept its kernels, and an input."""
    kind = KIND[request.param]
    layer = build(kind, "p4", 3, 2, 3, padding=1, bias=True).eval()
    x = maps("p4", 3, 6, 6, lifting=kind.lifting)
    with torch.no_grad():
        layer(x)
    # attention in compiled kernels keeps none
    assert any(entry is not None for entry in kept(layer))
    return layer, x


def test_kernels_are_kept_in_inference(used):
    layer, x = used
    before = kept(layer)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            torch.testing.assert_close(layer(x), without_cache(layer, x))
    assert all(now is then for now, then in zip(kept(layer), before, strict=True))


def test_the_cached_tensor_stays_inside():
    layer = ag.nn.GroupConv2d("p4", 2, 3, 3).eval()
    with torch.no_grad():
        assert layer._packed_kernel() is layer._packed_kernel()
        assert layer.transformed("weight", 2.0) is not layer.transformed("weight", 3.0)
        torch.testing.assert_close(layer.transformed("weight", 3.0), 3 * layer.transformed("weight", 1.0))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_writing_to_what_public_methods_return_changes_nothing(used, mode):
    """`k = layer.kernel(); k -= k.min()` must not change the network."""
    layer, x = used
    expected = without_cache(layer, x)
    with mode():
        for part, name in weights(layer):
            part.transformed(name).zero_()
        for part in layer.modules():
            for method in ("kernel", "gates"):
                found = getattr(part, method)() if hasattr(part, method) else ()
                for tensor in found if isinstance(found, tuple) else (found,):
                    tensor.zero_()
        torch.testing.assert_close(layer(x), expected)


def test_kernels_made_in_inference_mode_serve_everywhere():
    layer, x = ag.nn.GroupConv2d("p4", 2, 3, 3).eval(), torch.randn(1, 2, 4, 5, 5)
    with torch.inference_mode():
        inferred = layer(x)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), inferred)
    out = layer(x)
    out.sum().backward()
    torch.testing.assert_close(out, inferred)


def step(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        parameter.grad = torch.randn_like(parameter)
    torch.optim.SGD(layer.parameters(), lr=0.5).step()


def in_place(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        parameter.mul_(1.5)


def through_data(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        parameter.data.mul_(1.5)


def through_numpy(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        parameter.detach().numpy()[...] *= 1.5


def new_data(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        parameter.data = parameter.data * 1.5


def load(layer: nn.Module) -> None:
    layer.load_state_dict({name: 1.5 * value for name, value in layer.state_dict().items()})


def replace(layer: nn.Module) -> None:
    for part, name in weights(layer):
        setattr(part, name, nn.Parameter(getattr(part, name) * 1.5))


def reset(layer: nn.Module) -> None:
    for part in layer.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()


@pytest.mark.parametrize("change", [step, in_place, through_data, through_numpy, new_data, load, replace, reset])
def test_changed_weights_are_noticed(used, change):
    layer, x = used
    before = without_cache(layer, x)
    with torch.no_grad():
        change(layer)
        out = layer(x)
    assert not torch.allclose(out, before, rtol=1e-3)
    torch.testing.assert_close(out, without_cache(layer, x), rtol=0, atol=1e-13)


def test_another_dtype_is_noticed(used):
    layer, x = used
    with torch.no_grad():
        assert layer.float()(x.float()).dtype == torch.float32
        torch.testing.assert_close(layer.double()(x), without_cache(layer, x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["full_lifting", "full_group"])
def test_other_sizes_and_options_are_noticed(name):
    """Full attention keeps what is made of its weights for one size of maps and one set of options."""
    kind = KIND[name]
    layer = build(kind, "p4", 3, 2, 3, padding=1).eval()
    small, large = (maps("p4", 3, side, side, lifting=kind.lifting) for side in (4, 9))

    def right(x: Tensor) -> None:
        with torch.inference_mode():
            out = layer(x)
        torch.testing.assert_close(out, without_cache(layer, x))

    for x in (small, large, small):
        right(x)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        layer.float()(small.float())
    right(small.float())
    layer.double()
    for change in ({"combination": "multiply"}, {"padding": (0, 0)}, {"stride": (2, 2)}, {"backend": "torch"}):
        for option, value in change.items():
            setattr(layer, option, value)
        right(large)


def test_training_and_gradients_go_without(used):
    layer, x = used
    layer(x).sum().backward()  # eval mode with gradients
    assert kept(layer) == [None] * len(caches(layer))
    assert all(parameter.grad is not None for parameter in layer.parameters())
    with torch.no_grad():
        layer.train()(x)
    assert kept(layer) == [None] * len(caches(layer))


def test_copies_and_files_hold_weights_alone(used):
    layer, x = used
    with torch.no_grad():
        expected = layer(x)
    assert set(layer.state_dict()) == {name for name, _ in layer.named_parameters()}
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), torch.load(file, weights_only=False)]
    for twin in copies:
        assert kept(twin) == [None] * len(caches(twin))
        assert repr(twin) == repr(layer)
        with torch.no_grad():
            torch.testing.assert_close(twin(x), expected, rtol=0, atol=0)
            in_place(twin)
            torch.testing.assert_close(layer(x), expected, rtol=0, atol=0)
            assert not torch.allclose(twin(x), expected)


def test_stand_ins_for_the_weight_are_not_kept(used):
    """functional_call, vmap over an ensemble and parametrizations hand in tensors that are no parameters."""
    layer, x = used
    changed = {name: 1.5 * value.detach() for name, value in layer.named_parameters()}
    with torch.no_grad():
        before = layer(x)
        out = torch.func.functional_call(layer, changed, (x,))
        torch.testing.assert_close(layer(x), before, rtol=0, atol=0)
        load(layer)
        torch.testing.assert_close(out, layer(x))


def test_ensembles_under_vmap():
    layer, x = ag.nn.GroupConv2d("p4", 2, 3, 3, dtype=torch.float64).eval(), maps("p4", 2, 5, 5)
    ensemble = torch.randn(4, *layer.weight.shape, dtype=torch.float64)
    with torch.no_grad():
        layer(x)
        outs = torch.func.vmap(lambda weight: torch.func.functional_call(layer, {"weight": weight}, (x,)))(ensemble)
        for weight, out in zip(ensemble, outs, strict=True):
            layer.weight.copy_(weight)
            torch.testing.assert_close(out, layer(x))


class Double(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def test_parametrized_weights():
    layer, x = ag.nn.GroupConv2d("p4", 2, 3, 3).eval(), torch.randn(1, 2, 4, 5, 5)
    with torch.no_grad():
        plain = layer(x)
        nn.utils.parametrize.register_parametrization(layer, "weight", Double())
        torch.testing.assert_close(layer(x), 2 * plain)


@pytest.mark.parametrize("make", [lambda: ag.nn.GroupConv2d("p4", 2, 3, 3, device="meta"), None])
def test_tables_survive_to_empty(make: Callable[[], nn.Module] | None):
    """A module made without memory: weights come from a checkpoint, the index tables from the group."""
    if make is None:
        with torch.device("meta"):
            layer = ag.nn.AttentiveGroupConv2d("p4", 2, 3, 3)
    else:
        layer = make()
    assert {parameter.device.type for parameter in layer.parameters()} == {"meta"}
    twin = type(layer)("p4", 2, 3, 3)
    layer = layer.to_empty(device="cpu")
    layer.load_state_dict(twin.state_dict())
    x = torch.randn(1, 2, 4, 5, 5)
    torch.testing.assert_close(layer(x), twin(x), rtol=0, atol=0)


def test_weights_of_another_dtype_are_assigned():
    source, layer = (ag.nn.GroupConv2d("c8", 2, 2, 5, dtype=dtype) for dtype in (torch.float64, torch.float32))
    layer.load_state_dict(source.state_dict(), assign=True)
    x = torch.randn(1, 2, 8, 7, 7, dtype=torch.float64)
    torch.testing.assert_close(layer(x), source(x), rtol=0, atol=0)


def test_moving_to_another_device_frees_and_remakes():
    layer = ag.nn.LiftingConv2d("p4", 1, 2, 3).eval()
    with torch.no_grad():
        layer(torch.randn(1, 1, 5, 5))
        layer.to("meta")
        assert kept(layer) == [None]
        assert layer.weight_index.device.type == "meta"
        assert layer(torch.randn(1, 1, 5, 5, device="meta")).shape == (1, 2, 4, 3, 3)


class TestOtherDevices:
    """Where values cannot be compared without waiting for the device; meta tensors take the same path."""

    @pytest.fixture
    def weight(self) -> nn.Parameter:
        return nn.Parameter(torch.empty(3, device="meta"))

    @pytest.fixture
    def cache(self, weight: nn.Parameter) -> PackedWeightsCache:
        cache = PackedWeightsCache()
        cache.put([weight], 1.0, lambda: torch.ones(()))
        return cache

    def test_the_same_weight_is_known(self, cache, weight):
        assert cache.get([weight], 1.0) is cache.get([weight], 1.0) is not None
        assert cache.get([weight], 2.0) is None

    def test_in_place_changes_are_noticed(self, cache, weight):
        with torch.no_grad():
            weight.add_(1)
        assert cache.get([weight], 1.0) is None

    def test_another_parameter_is_another_weight(self, cache, weight):
        assert cache.get([nn.Parameter(torch.empty(3, device="meta"))], 1.0) is None
        assert cache.get([nn.Parameter(weight.data)], 1.0) is None

    def test_what_changes_meanwhile_is_not_kept(self, cache, weight):
        def pack():
            packed = weight.detach().clone()
            with torch.no_grad():
                weight.mul_(2)  # another thread's step
            return packed

        cache.put([weight], 2.0, pack)
        assert cache.get([weight], 2.0) is None

    def test_inference_tensors_are_never_trusted(self):
        with torch.inference_mode():
            weight = nn.Parameter(torch.empty(3, device="meta"))
            cache = PackedWeightsCache()
            cache.put([weight], 1.0, lambda: torch.ones(()))
            assert cache.get([weight], 1.0) is None

    def test_weight_that_came_back_to_the_cpu(self, cache):
        assert cache.get([nn.Parameter(torch.empty(3))], 1.0) is None
