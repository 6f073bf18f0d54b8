"""Wrong values for every argument of every public layer and model family: each is refused, by us, by its name."""

import inspect
import math
import re
import traceback

import numpy as np
import pytest
import torch
from torch import nn

import attentive_gconv as ag
from attentive_gconv.nn.arguments import checked

NAN, INF = math.nan, math.inf
NO_SIZE = [-1, 0, 2.0, 1.5, "3", None, True, False, NAN, INF, 10**30, 2**31, 10**5000, [], (2, 2, 2), b"3", 3j, {}]
NO_SIDES = [
    (1,),
    (1, 2, 3),
    (0, 1),
    (1, -1),
    (1.0, 1),
    (True, 1),
    (None, 1),
    {1: 1, 2: 2},
    {1, 2},
    b"\1\2",
    (1, 10**30),
]
NO_FLAG = [1, 0, "no", "False", None, 1.0, [], NAN, -1, np.int64(1)]
NO_NAME = ["", "nonsense", 3, None, True, ["sigmoid"], b"zeros", {}, 1.5, ("suppress",)]
NO_POSITIVE = [-1, 0, 0.0, NAN, INF, -INF, "1", None, True, [1.0], 1j, 10**400]
NO_PROBABILITY = [-0.1, 1.1, 2, -1, NAN, INF, "0.5", None, True, False, [], (0.5,), 1j, 10**400]
NO_STATISTICS = ["mean", ("mean", "mean"), ("median",), 3, None, {"mean"}, True, (None,), ([],), {"mean": 1}]

# by argument; where a class uses the name for something else, by class and argument
WRONG = {
    "group": ["p5", "c0", "c1000", 4, None, True, 1.5, [], "", b"p4", NAN, -1],
    **dict.fromkeys(("in_channels", "out_channels", "channels", "num_features", "num_classes", "num_blocks"), NO_SIZE),
    **dict.fromkeys(("num_groups", "num_channels"), NO_SIZE),
    **dict.fromkeys(("groups", "ratio", "depth", "spatial_dilation", "first_dilation"), NO_SIZE),
    "spatial_kernel_size": [*NO_SIZE, 4, 1025, (3, 3)],
    "kernel_size": [*NO_SIZE, *NO_SIDES, (3, 5)],
    **{key: [*NO_SIZE, *NO_SIDES, "same"] for key in ("stride", "dilation", "scale_factor")},
    "output_size": [*NO_SIZE, *NO_SIDES],
    "mode": NO_NAME,
    "subgroup": ["p5", "p4m", 4, None, True, [], ""],
    "padding": [-1, 1.0, "3", "full", None, True, NAN, 10**30, [], (0,), (1, 2, 3), (1, -1), (True, 1), b"\1\1"],
    **dict.fromkeys(("padding_mode", "gate", "combination", "order", "attention", "pool"), NO_NAME),
    **dict.fromkeys(("bias", "norm", "over_group", "channel", "spatial", "normal_init", "standardize"), NO_FLAG),
    **dict.fromkeys(("ceil_mode", "inplace", "affine", "track_running_stats"), NO_FLAG),
    **dict.fromkeys(("wscale", "eps"), NO_POSITIVE),
    **dict.fromkeys(("p", "momentum"), NO_PROBABILITY),
    **{key: [*NO_PROBABILITY, 1, 1.0] for key in ("dropout", "input_dropout")},
    "statistics": NO_STATISTICS,
    "device": ["gpu", "nonsense:0", 1.5, True, [], -1, b"cpu", ""],
    "dtype": ["float32", float, torch.int64, torch.bool, torch.complex64, torch.float8_e5m2, 32, np.float32, True],
    "maps": [
        None,
        3,
        "channel",
        [],
        {},
        [nn.ReLU()],
        {"a": None},
        {"a": 3},
        {"a": "b"},
        {3: nn.ReLU()},
        {"a": nn.ReLU},
    ],
}
FAMILIES = ("AllCNNC", "DenseNet", "ResNet", "RotMNISTNet", "VGG")
NO_ODD, NO_INTEGER = [*NO_SIZE, 4, (3, 3), 1025], [*NO_SIZE, (1, 1), "same"]
NO_POOL = [value for value in WRONG["kernel_size"] if value != (3, 5)]
NO_MAPS = [*WRONG["maps"], {"": nn.ReLU()}, {"a.b": nn.ReLU()}, {"forward": nn.ReLU()}, {"keys": nn.ReLU()}]
POOLS = ("SpatialMaxPool2d", "SpatialAvgPool2d", "SpatialBlurPool2d")
WRONG_HERE = {
    ("RotMNISTNet", "kernel_size"): [*NO_ODD, 1],
    ("GroupConvTranspose2d", "padding"): [*WRONG["padding"], "same"],
    ("UNet", "depth"): [*NO_SIZE, 11],
    ("UNet", "num_classes"): NO_SIZE,
    **{(name, "kernel_size"): NO_POOL for name in POOLS},
    **{(name, "padding"): [*WRONG["padding"], "same"] for name in POOLS},
    **{(name, "kernel_size"): NO_ODD for name in ("InputAttention", "SpatialAttention", "PlanarSpatialAttention")},
    **{(name, "dilation"): NO_INTEGER for name in ("InputAttention", "SpatialAttention", "PlanarSpatialAttention")},
    **{(name, "dilation"): NO_INTEGER for name in ("BAM", "ContextAttention")},
    **{(name, "norm"): NO_NAME for name in ("BAM", "ContextAttention", "ChannelAttention")},
    ("ChannelAttention", "statistics"): [*NO_STATISTICS, ()],
    ("GroupBatchNorm2d", "momentum"): [value for value in NO_PROBABILITY if value is not None],
    ("ParallelAttention", "maps"): [*NO_MAPS, {"a": nn.ReLU()}],
    ("Attend", "maps"): [*NO_MAPS[:-1], {"order": nn.ReLU()}],
    # a network may have no classifier
    **{(name, "num_classes"): [v for v in NO_SIZE if v != 0 or v is False] for name in FAMILIES},
    ("ResNet", "channels"): [
        *(value for value in NO_SIZE if value != (2, 2, 2)),
        8,
        (8, 8),
        (8, 8, 8, 8),
        (8, 0, 8),
        (8, 8, -1),
        (8.0, 8, 8),
        (True, 8, 8),
        "888",
    ],
    ("VGG", "channels"): [
        *(value for value in NO_SIZE if value != (2, 2, 2)),
        8,
        (8, 0, 8),
        (8.0, 8),
        (True, 8),
        "888",
        (1,) * 17,
    ],
    ("DenseNet", "dilations"): [
        3,
        "4",
        [],
        [1, 1, 1, 1],
        [(1, 1)] * 3,
        [(1, 1, 1)] * 4,
        [(1, 0)] * 4,
        [(1.0, 1)] * 4,
        True,
    ],
}

CONVOLUTION = {"group": "p4", "in_channels": 4, "out_channels": 4, "kernel_size": 3}
ATTENTION = {"group": "p4", "channels": 4, "ratio": 2}
SMALL = {
    **{name: CONVOLUTION for name in ag.nn.__all__ if name.endswith("Conv2d")},
    **dict.fromkeys(("BAM", "CBAM", "ChannelAttention", "ContextAttention", "ResidualAttention"), ATTENTION),
    **dict.fromkeys(("SoftMask", "SqueezeExcite", "InputAttention"), ATTENTION),
    "CoAttention": {"group": "p4", "channels": 4},
    **{key: {"group": "p4"} for key in ("SpatialAttention", "PlanarSpatialAttention")},
    **{key: {"num_features": 4} for key in ("GroupBatchNorm2d", "GroupInstanceNorm2d")},
    "GroupNorm2d": {"num_groups": 2, "num_channels": 4},
    "GroupConvTranspose2d": CONVOLUTION,
    "GroupRestriction": {"group": "p4", "subgroup": "z2"},
    **{key: {"output_size": 2} for key in ("SpatialAdaptiveAvgPool2d", "SpatialAdaptiveMaxPool2d")},
    "SpatialUpsample2d": {"scale_factor": 2},
    **{key: {"kernel_size": 2} for key in POOLS},
    "Attend": {"maps": {"channel": nn.ReLU()}},
    "ParallelAttention": {"maps": {"channel": ag.nn.ChannelAttention("p4", 4)}},
}
CLASSES = {name: getattr(ag.nn, name) for name in ag.nn.__all__ if isinstance(getattr(ag.nn, name), type)}
CLASSES = {
    **{name: owner for name, owner in CLASSES.items() if not inspect.isabstract(owner)},
    **{name: getattr(ag.models, name) for name in (*FAMILIES, "UNet")},
}
WITHOUT_ARGUMENTS = ("GroupMaxPool", "GroupMeanPool")


def wrong_arguments(name):
    """(argument, wrong value) for a class."""
    for argument, parameter in inspect.signature(CLASSES[name]).parameters.items():
        for value in WRONG_HERE.get((name, argument), WRONG.get(argument)):
            if not (value is None and parameter.default is None):
                yield argument, value


def verdict(name, argument, value):
    """None if the value is refused as it should be, else what happens."""
    options = {**SMALL.get(name, {}), argument: value}
    try:
        with torch.device("meta"):
            CLASSES[name](**options)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1].filename
        if not isinstance(error, ValueError | TypeError) or "attentive_gconv" not in last:
            return f"foreign {type(error).__name__}: {error}"
        return None if re.search(rf"\b{argument}\b", str(error)) else f"unnamed: {error}"
    return "accepted"


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in WITHOUT_ARGUMENTS])
def test_every_wrong_argument_is_refused_by_name(name):
    found = [(argument, value, verdict(name, argument, value)) for argument, value in wrong_arguments(name)]
    assert [case for case in found if case[2] is not None] == []


def test_the_wrong_arguments_are_many():
    assert sum(len(list(wrong_arguments(name))) for name in CLASSES if name not in WITHOUT_ARGUMENTS) > 1500


@pytest.mark.parametrize("name", CLASSES)
def test_right_arguments_are_taken(name):
    with torch.device("meta"):
        assert isinstance(CLASSES[name](**SMALL.get(name, {})), nn.Module)


@pytest.mark.parametrize("integer", [np.int64(4), np.uint8(4), torch.tensor(4)])
def test_integers_of_numpy_and_pytorch_become_python_integers(integer):
    layer = ag.nn.AttentiveGroupConv2d("p4", integer, integer, np.int32(3), stride=(np.int64(2), 1), ratio=np.int64(2))
    assert layer(torch.randn(1, 4, 4, 5, 5)).shape == (1, 4, 4, 2, 3)
    assert [type(value) for value in (layer.in_channels, layer.kernel_size, *layer.stride)] == [int] * 4


def test_numbers_of_numpy_are_taken():
    assert ag.nn.Dropout(np.float32(0.5)).p == 0.5
    assert ag.nn.GroupConv2d("p4", 1, 1, 3, wscale=np.float64(2), bias=np.True_).bias is not None
    assert ag.nn.GroupBatchNorm2d(2, momentum=None).momentum is None


def test_the_error_shows_a_long_value_in_short():
    with pytest.raises(ValueError, match=r"`ratio` \(=\[0, 1, 2.{1,80} \.\.\.\) must be an integer of at least 1$"):
        ag.nn.SqueezeExcite("p4", 4, ratio=list(range(1000)))


def test_sizes_that_do_not_fit_into_memory_are_named():
    with pytest.raises(ValueError, match=r"does not fit into memory with .*`in_channels` \(=1000000\)"):
        ag.nn.GroupConv2d("p4", 10**6, 10**6, 3)


def test_a_name_of_unhashable_type_is_an_unknown_name():
    with pytest.raises(ValueError, match=r"unknown model \['p4cnn'\]"):
        ag.create_model(["p4cnn"])


@pytest.mark.parametrize(
    ("option", "value"),
    [("recompute", 1), ("recompute", "no"), ("memory_budget", 1.5), ("memory_budget", True), ("method", ["streaming"])],
)
def test_how_attention_computes_is_checked_in_models_without_attention_too(option, value):
    with pytest.raises(ValueError, match=option):
        ag.nn.configure_attention(nn.ReLU(), **{option: value})


def test_python_says_which_argument_is_missing():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'kernel_size'"):
        ag.nn.GroupConv2d("p4", 3, 4)
    with pytest.raises(TypeError, match="unexpected keyword argument 'strides'"):
        ag.nn.GroupConv2d("p4", 3, 4, 3, strides=2)


def test_an_argument_without_a_check_cannot_be_declared():
    with pytest.raises(TypeError, match=r"no check is declared for \['flavour'\]"):

        @checked()
        def layer(channels, flavour):
            pass


@pytest.mark.parametrize(
    ("layer", "options", "name"),
    [
        (layer, options, name)
        for layer in ("AttentiveLiftingConv2d", "AttentiveGroupConv2d", "InputAttentiveGroupConv2d")
        for options, name in (
            ({"channel": False, "ratio": 2}, "ratio"),
            ({"spatial": False, "spatial_kernel_size": 3}, "spatial_kernel_size"),
            ({"spatial": False, "spatial_dilation": 2}, "spatial_dilation"),
        )
    ]
    + [("InputAttentiveLiftingConv2d", {"spatial": False, "statistics": ("max",)}, "statistics")],
)
def test_an_argument_of_a_part_that_is_left_out_is_refused(layer, options, name):
    with pytest.raises(ValueError, match=rf"`{name}` \(=.*\) is of the .* attention, which .* leaves out: omit it"):
        getattr(ag.nn, layer)("p4", 2, 2, 3, **options)


def test_arguments_of_input_attention_are_of_its_parts():
    with pytest.raises(ValueError, match=r"`kernel_size` \(=3\) is of the spatial attention"):
        ag.nn.InputAttention("p4", 2, spatial=False, kernel_size=3)
    ag.nn.InputAttention("p4", 2, spatial=False, kernel_size=7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": 3}, r"`name` \(=3\) must be a text"),
        ({"name": ""}, r"`name` \(=''\) must be a text"),
        ({"quadrature_weight": "1"}, r"`quadrature_weight` \(='1'\) of group 'g' must be a number"),
        ({"quadrature_weight": True}, r"`quadrature_weight` \(=True\) of group 'g' must be a number"),
        ({"interpolate": 1}, r"`interpolate` \(=1\) of group 'g' must be True or False"),
        ({"matrices": 3}, r"`matrices` \(=3\) of group 'g' must be a list"),
        ({"matrices": "no"}, r"`matrices` \(='no'\) of group 'g' must be a list"),
    ],
)
def test_a_group_checks_its_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ag.FiniteGroup(**{"name": "g", "matrices": [((1, 0), (0, 1))], **arguments})
