"""How the DenseNet is put together: against torch's own functions, and where its attention is dilated."""

import math

import pytest
import torch
import torch.nn.functional as F

import attentive_gconv as ag
from attentive_gconv.models.densenet import DenseNet
from networks import Planar, randomise_norms_


def test_the_planar_network_in_torchs_own_functions() -> None:
    images = torch.randn(2, 3, 25, 21)
    model = randomise_norms_(ag.create_model("densenet", channels=4, num_blocks=2), images)
    planar = Planar(model)
    x = planar.conv("c1", images)
    for i in range(3):
        name = f"block_layers.{i}"
        x = torch.cat([planar.conv(f"{name}.conv", planar.norm_relu(f"{name}.bn", x)), x[:, :, 1:-1, 1:-1]], 1)
        if i < 2:
            name = f"trans_layers.{i}"
            x = F.avg_pool2d(planar.conv(f"{name}.conv", planar.norm_relu(f"{name}.bn", x)), 2)
    x = planar.conv("c_out", planar.norm_relu("bn_out", x))
    with torch.no_grad():
        torch.testing.assert_close(model(images), x.mean((2, 3)))


def spatial_attention(model: DenseNet) -> dict[str, tuple[int, int]]:
    """The kernel and dilation of the spatial attention, by the convolution's name."""
    return {
        name.removesuffix(".attention.spatial_attention"): (part.kernel_size, part.dilation[0])
        for name, part in model.named_modules()
        if name.endswith("spatial_attention")
    }


@pytest.mark.parametrize("name", ["alpha_f_p4_densenet", "alpha_f_p4m_densenet"])
def test_spatial_attention_follows_the_size_of_the_maps(name: str) -> None:
    assert spatial_attention(ag.create_model(name)) == {
        "c1": (7, 4),
        **{f"block_layers.{i}.conv": (7, dilation) for i, dilation in enumerate([4, 4, 3, 2])},
        **{f"trans_layers.{i}.conv": (7, dilation) for i, dilation in enumerate([4, 4, 3, 1])},
        "block_layers.4.conv": (5, 1),
        "c_out": (3, 1),
    }


def test_dilations_of_other_depths() -> None:
    short = spatial_attention(ag.create_model("alpha_f_p4_densenet", num_blocks=1))
    assert [short[f"{kind}_layers.0.conv"][1] for kind in ("block", "trans")] == [4, 4]
    deep = spatial_attention(ag.create_model("alpha_f_p4_densenet", num_blocks=6))
    assert [deep[f"trans_layers.{i}.conv"][1] for i in range(6)] == [4, 4, 3, 1, 1, 1]
    given = spatial_attention(ag.create_model("alpha_f_p4_densenet", num_blocks=2, dilations=[(3, 2), (2, 1)]))
    assert [given[f"block_layers.{i}.conv"][1] for i in range(3)] == [3, 2, 1]
    assert [given[f"trans_layers.{i}.conv"][1] for i in range(2)] == [2, 1]


@pytest.mark.parametrize("dilations", [[(1, 1)] * 3, [(1, 1, 1)] * 4])
def test_dilations_of_another_length_are_refused(dilations: list[tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"`dilations` \(=.*\) must be one pair .* of the num_blocks \(=4\)"):
        ag.create_model("alpha_f_p4_densenet", dilations=dilations)


def test_initial_weights() -> None:
    layer = ag.create_model("densenet").trans_layers[3].conv
    assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / 130), rel=0.03)
    layer = ag.create_model("p4_densenet").trans_layers[3].conv
    bound = math.sqrt(2) / math.sqrt(65)
    assert 0.98 * bound < layer.weight.abs().max() <= bound
