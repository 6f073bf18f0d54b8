"""Maps, their order and their combination, and what each refuses."""

import copy

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv.functional import COMBINATIONS
from helpers import maps


class Constant(ag.nn.AttentionMap):
    """A map whose logits are given."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.logit = logit

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full_like(x, self.logit)


class WithoutAxes(ag.nn.AttentionMap):
    """A map whose reduced axes are gone: its batch axis would be taken for the group axis."""

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((1, 2))


def test_a_map_has_as_many_axes_as_its_input():
    x = torch.randn(4, 3, 4, 5, 5)  # as many images as poses, so that broadcasting would succeed
    module = ag.nn.Attend({"where": WithoutAxes()})
    for call in (module, module.suppression_map):
        with pytest.raises(ValueError, match=r"map 'where' has the shape \(4, 5, 5\) for an input .*keepdim"):
            call(x)


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_maps_act_one_after_the_other(combination):
    what, where = ag.nn.ChannelAttention("p4", 3).double(), ag.nn.SpatialAttention("p4", 3).double()
    x = maps("p4", 3, 5, 5)
    module = ag.nn.Attend({"what": what, "where": where}, combination)
    attended = what(x) * x
    alpha = where(attended) * what(x)
    expected = {"multiply": alpha * x, "amplify": x + alpha * x, "suppress": x - alpha * x}[combination]
    torch.testing.assert_close(module(x), expected)
    torch.testing.assert_close(module.suppression_map(x), alpha)


def test_order_matters_and_is_the_order_of_the_maps():
    what, where = ag.nn.ChannelAttention("p4", 3).double(), ag.nn.SpatialAttention("p4", 3).double()
    x = maps("p4", 3, 5, 5)
    spatial_first = ag.nn.Attend({"where": where, "what": what})
    seen = where(x) * x
    torch.testing.assert_close(spatial_first(x), what(seen) * seen)
    assert not torch.allclose(spatial_first(x), ag.nn.Attend({"what": what, "where": where})(x))


def test_parallel_maps_share_one_gate():
    both = ag.nn.ParallelAttention({"a": Constant(2.0), "b": Constant(-0.5)})
    x = torch.randn(1, 2, 4, 3, 3)
    torch.testing.assert_close(both(x), torch.full_like(x, 1.5).sigmoid())


def test_orders_of_input_attention():
    x = maps("p4", 3, 5, 5)
    first = ag.nn.InputAttention("p4", 3, dtype=torch.float64)
    what, where = first.channel_attention, first.spatial_attention
    second = ag.nn.InputAttention("p4", 3, order="spatial_first", dtype=torch.float64)
    second.load_state_dict(first.state_dict())
    seen = where(x) * x
    torch.testing.assert_close(second(x), x - what(seen) * seen)
    parallel = ag.nn.InputAttention("p4", 3, order="parallel", dtype=torch.float64)
    parallel.parallel_attention.maps.load_state_dict(first.state_dict())
    torch.testing.assert_close(parallel(x), x - torch.sigmoid(what.logits(x) + where.logits(x)) * x)


@pytest.mark.parametrize("absent", ["channel", "spatial"])
def test_a_part_can_be_left_out(absent):
    module = ag.nn.InputAttention("p4", 3, **{absent: False})
    assert getattr(module, f"{absent}_attention") is None
    assert len(list(module.children())) == 1


def test_modules_can_be_copied():
    module = ag.nn.BAM("p4", 4, 2)
    twin = copy.deepcopy(module)
    x = torch.randn(2, 4, 4, 5, 5)
    torch.testing.assert_close(twin(x), module(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ag.nn.Attend({}), r"holds no attention map"),
        (lambda: ag.nn.Attend({"a": None}), r"holds no attention map"),
        (lambda: ag.nn.Attend({"a": Constant(0)}, "multply"), r"unknown combination 'multply'.*'multiply'"),
        (lambda: ag.nn.ParallelAttention({}), r"`maps` is empty"),
        (lambda: ag.nn.ParallelAttention({"a": Constant(0)}, gate="sigmod"), r"unknown gate 'sigmod'.*'sigmoid'"),
        (lambda: ag.nn.InputAttention("p4", 3, order="chanel_first"), r"unknown order.*'channel_first'"),
        (lambda: ag.nn.InputAttention("p4", 3, order="parallel", channel=False), r"`order` \(='parallel'\) needs"),
        (
            lambda: ag.nn.InputAttention("p4", 3, order="spatial_first", spatial=False),
            r"`order` \(='spatial_first'\) n",
        ),
        (lambda: ag.nn.InputAttention("p4", 3, wscale=2.0, spatial=False), r"`wscale` \(=2\.0\) is of the spatial"),
        (lambda: ag.nn.InputAttention("p4", 3, channel=False, spatial=False), r"both False"),
    ],
)
def test_refused_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("module", "shape", "wanted"),
    [
        (ag.nn.ChannelAttention("p4", 3), (2, 3, 5, 5), r"ChannelAttention on 'p4' takes a map on the group \(B, 3, 4"),
        (ag.nn.ChannelAttention("p4", 3), (2, 2, 4, 5, 5), r"got shape \(2, 2, 4, 5, 5\)"),
        (ag.nn.ChannelAttention("p4", 3, over_group=False), (2, 3, 4, 5, 5), r"a planar map \(B, 3, Y, X\)"),
        (ag.nn.SpatialAttention("p4m"), (2, 3, 4, 5, 5), r"a map on the group \(B, C, 8, Y, X\)"),
        (ag.nn.PlanarSpatialAttention("p4"), (2, 3, 4, 5, 5), r"a planar map \(B, C, Y, X\)"),
        (ag.nn.SoftMask("p4", 4), (2, 4, 8, 5, 5), r"SoftMask on 'p4' takes a map on the group \(B, 4, 4, Y, X\)"),
    ],
)
def test_refused_inputs(module, shape, wanted):
    with pytest.raises(ValueError, match=wanted):
        module(torch.randn(shape))
