"""Bad arguments and inputs: every error names the argument, its value and the remedy."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import attentive_gconv as ag
from helpers import KIND, KINDS, kind_id, maps

# arguments of every convolution: what is wrong, and what the message has to say
CONVOLUTION = [
    ({"in_channels": 0}, r"`in_channels` \(=0\) must be an integer of at least 1"),
    ({"out_channels": -2}, r"`out_channels` \(=-2\) must be an integer of at least 1"),
    ({"in_channels": 2.0}, r"`in_channels` \(=2\.0\) must be an integer"),
    ({"in_channels": True}, r"`in_channels` \(=True\) must be an integer"),
    ({"kernel_size": 0}, r"`kernel_size` \(=0\) must be an integer of at least 1"),
    ({"kernel_size": (3, 5)}, r"`kernel_size` \(=\(3, 5\)\) must be square.*; pad the shorter side"),
    ({"kernel_size": 3.0}, r"`kernel_size` \(=3\.0\) must be an integer of at least 1, or a pair of such \(Y, X\)"),
    ({"kernel_size": "3"}, r"`kernel_size` \(='3'\) must be"),
    ({"stride": 0}, r"`stride` \(=0\) must be an integer of at least 1"),
    ({"stride": (1, 2, 3)}, r"`stride` \(=\(1, 2, 3\)\) must be .* or a pair"),
    ({"stride": None}, r"`stride` \(=None\) must be"),
    ({"stride": 1.5}, r"`stride` \(=1\.5\) must be"),
    ({"stride": True}, r"`stride` \(=True\) must be"),
    ({"dilation": (1, 0)}, r"`dilation` \(=\(1, 0\)\) must be an integer of at least 1"),
    ({"padding": -1}, r"`padding` \(=-1\) must be an integer of at least 0"),
    ({"padding": "full"}, r"`padding` \(='full'\) must be an integer, a pair of integers, 'same' or 'valid'"),
    (
        {"padding": "same", "stride": 2},
        r"`padding` \(='same'\) needs stride 1, got stride \(=\(2, 2\)\); give the padd",
    ),
    ({"padding": "same", "kernel_size": 4}, r"`padding` \(='same'\) of an even kernel_size \(=4\).*use an odd kernel"),
    ({"wscale": 0}, r"`wscale` \(=0\) must be a finite number above 0"),
    ({"wscale": float("nan")}, r"`wscale` \(=nan\) must be a finite number above 0"),
    ({"wscale": "1"}, r"`wscale` \(='1'\) must be a finite number above 0"),
    ({"group": "p5"}, "unknown group 'p5': did you mean 'c5'"),
]
ATTENTION = [
    ({"channel": False, "spatial": False}, "`channel` and `spatial` are both False.*use the plain convolution"),
    ({"combination": "supress"}, "unknown combination 'supress': did you mean 'suppress'"),
    ({"ratio": 0}, r"`ratio` \(=0\) must be an integer of at least 1"),
    ({"ratio": 3}, r"`ratio` \(=3\) must not exceed the number of channels \(=2\)"),
    ({"spatial_kernel_size": 6}, r"`(spatial_)?kernel_size` \(=6\) must be odd"),
]
INPUT_ATTENTION = [
    ({"spatial_dilation": 0}, r"dilation` \(=0\) must be an integer of at least 1"),
    ({"spatial_dilation": 1.5}, r"dilation` \(=1\.5\) must be an integer of at least 1"),
]
GROUPS = [
    ({"groups": 0}, r"`groups` \(=0\) must be an integer of at least 1"),
    ({"groups": 2, "in_channels": 3, "out_channels": 2}, r"`in_channels` \(=3\) must be divisible by `groups` \(=2\)"),
    ({"groups": 2, "out_channels": 3}, r"`out_channels` \(=3\) must be divisible by `groups` \(=2\)"),
]


def make(kind: str, **options: Any) -> torch.nn.Module:
    arguments = {"group": "p4", "in_channels": 2, "out_channels": 2, "kernel_size": 3}
    return KIND[kind].layer(**{**arguments, **KIND[kind].options, **options})


def arguments_of(kind: str) -> list[tuple[dict[str, Any], str]]:
    plain, full = KIND[kind].plain, KIND[kind].full
    return [
        *CONVOLUTION,
        *([] if plain else ATTENTION),
        *([] if plain or full else INPUT_ATTENTION),
        *([] if full else GROUPS),
    ]


LAYERS = ["lifting", "group", "full_lifting", "full_group", "input_lifting", "input_group"]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [(kind, options, message) for kind in LAYERS for options, message in arguments_of(kind)],
    ids=lambda value: str(value) if isinstance(value, str | dict) and len(str(value)) < 60 else "",
)
def test_arguments_of_convolutions(kind, options, message):
    with pytest.raises(ValueError, match=message):
        make(kind, **options)


@pytest.mark.parametrize("kind", ["full_lifting", "full_group"])
def test_full_attention_has_no_channel_groups(kind):
    with pytest.raises(TypeError, match="groups"):
        make(kind, groups=2)


@pytest.mark.parametrize("kind", KINDS, ids=kind_id)
def test_inputs_of_convolutions(kind):
    layer = kind.layer("p4", 2, 3, 3, dtype=torch.float64, **kind.options)
    expected = r"takes a planar map \(B, 2, Y, X\)" if kind.lifting else r"takes a map on the group \(B, 2, 4, Y, X\)"
    planar, on_group = [(1, 3, 5, 5), (1, 2, 4, 5, 5)], [(1, 2, 5, 5), (1, 3, 4, 5, 5), (1, 2, 8, 5, 5)]
    for shape in [(5, 5), (2, 5, 5), *(planar if kind.lifting else on_group)]:
        with pytest.raises(ValueError, match=f"{type(layer).__name__} on 'p4' {expected}, got shape") as error:
            layer(torch.zeros(shape, dtype=torch.float64))
        assert str(shape) in str(error.value)
    with pytest.raises(ValueError, match=r"smaller than the kernel, kernel_size \(=3\).*raise the padding"):
        layer(maps("p4", 2, 5, 2, lifting=kind.lifting))


ANY = torch.zeros(1, 2, 4, 5, 5)
OTHER: list[tuple[Callable[[], object], str]] = [
    (lambda: ag.nn.SpatialMaxPool2d(0), r"`kernel_size` \(=0\) must be an integer of at least 1"),
    (lambda: ag.nn.SpatialMaxPool2d(2, stride=0), r"`stride` \(=0\) must be an integer of at least 1"),
    (lambda: ag.nn.SpatialAvgPool2d(2, padding=-1), r"`padding` \(=-1\) must be an integer of at least 0"),
    (lambda: ag.nn.SpatialAvgPool2d(3, padding=2), r"`padding` \(=2\) must be at most half the kernel_size \(=3\)"),
    (
        lambda: ag.nn.SpatialMaxPool2d(6)(ANY),
        r"\(1, 2, 4, 5, 5\).*smaller than the window, kernel_size \(=\(6, 6\)\); poo",
    ),
    (
        lambda: ag.nn.SpatialMaxPool2d(2)(ANY[0, 0]),
        r"takes \(B, C, \|H\|, Y, X\) or \(B, C, Y, X\), got shape \(4, 5, 5\)",
    ),
    (lambda: ag.nn.SpatialAvgPool2d(2)(ANY[None]), r"SpatialAvgPool2d takes .*, got shape \(1, 1, 2, 4, 5, 5\)"),
    (lambda: ag.nn.GroupMaxPool()(ANY[0]), r"GroupMaxPool takes maps on the group .*, got \(2, 4, 5, 5\)"),
    (lambda: ag.nn.GroupMeanPool()(ANY[0]), r"GroupMeanPool takes maps on the group .*, got \(2, 4, 5, 5\)"),
    (
        lambda: ag.nn.GroupBatchNorm2d(3)(ANY),
        r"takes maps on the group \(B, 3, \|H\|, Y, X\), got shape \(1, 2, 4, 5, 5\)",
    ),
    (
        lambda: ag.nn.GroupBatchNorm2d(2)(ANY[0]),
        r"takes maps on the group \(B, 2, \|H\|, Y, X\), got shape \(2, 4, 5, 5\)",
    ),
    (lambda: ag.nn.ChannelAttention("p4", 0), r"`channels` \(=0\) must be an integer of at least 1"),
    (lambda: ag.nn.ChannelAttention("p4", 4, ratio=5), r"`ratio` \(=5\) must not exceed the number of channels \(=4\)"),
    (
        lambda: ag.nn.ChannelAttention("p4", 3)(ANY),
        r"ChannelAttention on 'p4' takes a map on the group \(B, 3, 4, Y, X\)",
    ),
    (lambda: ag.nn.ChannelAttention("p4", 2, over_group=False)(ANY), r"takes a planar map \(B, 2, Y, X\), got shape"),
    (lambda: ag.nn.SpatialAttention("p4", 4), r"`kernel_size` \(=4\) must be odd"),
    (lambda: ag.nn.SpatialAttention("p4", statistics=("median",)), r"`statistics` \(=\('median',\)\) must be"),
    (lambda: ag.nn.SpatialAttention("p4", statistics=()), "`channels` must be given when there are no `statistics`"),
    (
        lambda: ag.nn.SpatialAttention("p4")(ANY[0]),
        r"SpatialAttention on 'p4' takes a map on the group .*\(2, 4, 5, 5\)",
    ),
    (lambda: ag.nn.PlanarSpatialAttention("p4")(ANY), r"takes a planar map .*got shape \(1, 2, 4, 5, 5\)"),
    (lambda: ag.nn.InputAttention("p4", 2, channel=False, spatial=False), "`channel` and `spatial` are both False"),
    (lambda: ag.nn.InputAttention("p4", 2)(ANY[0]), r"on 'p4' takes a map on the group \(B, 2, 4, Y, X\), got shape"),
]


@pytest.mark.parametrize(("call", "message"), OTHER, ids=[message[:40] for _, message in OTHER])
def test_other_layers(call, message):
    with pytest.raises(ValueError, match=message):
        call()
