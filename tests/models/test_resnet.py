"""How the ResNet is put together: against torch's own functions; its depth, widths, gates and initial weights."""

import math

import pytest
import torch
import torch.nn.functional as F

import attentive_gconv as ag
from attentive_gconv.nn.conv import GroupConvolution
from networks import Planar, randomise_norms_


def test_the_planar_network_in_torchs_own_functions() -> None:
    images = torch.randn(2, 3, 13, 10)
    model = randomise_norms_(ag.create_model("resnet44", channels=(4, 6, 8), num_blocks=2), images)
    planar = Planar(model)
    x = planar.conv("c1", images, padding=1)
    for stage in ("layers_nc32", "layers_nc16", "layers_nc8"):
        for block in range(2):
            name = f"{stage}.{block}"
            halves = block == 0 and stage != "layers_nc32"
            inner = planar.conv(f"{name}.c1", planar.norm_relu(f"{name}.bn1", x), padding=1)
            if halves:
                inner = F.max_pool2d(inner, 2)
                x = F.max_pool2d(planar.conv(f"{name}.fiber_map", x), 2)
            x = x + planar.conv(f"{name}.c2", planar.norm_relu(f"{name}.bn2", inner), padding=1)
    x = planar.conv("c_out", planar.norm_relu("bn_out", x).mean((2, 3), keepdim=True))
    with torch.no_grad():
        torch.testing.assert_close(model(images), x.flatten(1))


@pytest.mark.parametrize("num_blocks", [1, 3, 7])
def test_depth(num_blocks: int) -> None:
    model = ag.create_model("p4m_resnet44", num_blocks=num_blocks, channels=(1, 2, 3))
    names = [name for name, part in model.named_modules() if isinstance(part, GroupConvolution)]
    fibers = [name for name in names if "fiber" in name]
    assert fibers == ["layers_nc16.0.fiber_map", "layers_nc8.0.fiber_map"]
    assert len(names) - len(fibers) == 6 * num_blocks + 2


def test_gates_are_two_wide_on_every_convolution() -> None:
    model = ag.create_model("alpha_f_p4m_resnet44")
    gates = {}
    for name, part in model.named_modules():
        if isinstance(part, ag.nn.InputAttentiveGroupConv2d | ag.nn.InputAttentiveLiftingConv2d):
            gates[name] = part.attention.channel_attention.weight_fc1.shape[0]
            assert part.attention.spatial_attention.kernel_size == 7
    assert len(gates) == 46
    assert gates.pop("c1") == 3  # ratio 1
    assert set(gates.values()) == {2}  # 11 // 5, 23 // 11, 45 // 22
    given = ag.create_model("alpha_f_p4m_resnet44", ratio=5, num_blocks=1)
    assert given.c_out.attention.channel_attention.weight_fc1.shape[0] == 9
    assert given.c1.attention.channel_attention.weight_fc1.shape[0] == 3


def test_initial_weights() -> None:
    planar = ag.create_model("resnet44", num_blocks=1)
    for layer in (planar.layers_nc8[0].c1, planar.layers_nc8[0].c2, planar.layers_nc8[0].fiber_map):
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / layer.weight[0].numel()), rel=0.03)
    layer = ag.create_model("p4m_resnet44", num_blocks=1).layers_nc8[0].c2
    bound = math.sqrt(2) / math.sqrt(45 * 9)
    assert 0.98 * bound < layer.weight.abs().max() <= bound


@pytest.mark.parametrize("channels", [16, (4, 8), (4, 8, 16, 32)])
def test_widths_that_are_not_three_are_refused(channels: object) -> None:
    with pytest.raises(ValueError, match=r"`channels` \(=.*\) must be 3 widths, one a stage"):
        ag.create_model("p4m_resnet44", channels=channels)


@pytest.mark.parametrize("option", ["num_blocks", "ratio"])
def test_counts_out_of_range_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match=rf"`{option}` \(=0\) must be an integer of at least 1"):
        ag.create_model("alpha_f_p4m_resnet44", **{option: 0})
