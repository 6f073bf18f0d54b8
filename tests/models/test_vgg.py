"""How the VGG is put together: against torch's own functions; its depth, maps, dropout and sizes."""

import pytest
import torch
import torch.nn.functional as F

import attentive_gconv as ag
from attentive_gconv.nn.conv import GroupConvolution
from networks import Planar, randomise_norms_


@pytest.mark.parametrize("depth", [1, 2])
def test_the_planar_network_in_torchs_own_functions(depth: int) -> None:
    images = torch.randn(2, 3, 13, 10)
    model = randomise_norms_(ag.create_model("vgg6", channels=(4, 6, 5), depth=depth, dropout=0.5), images)
    planar = Planar(model)
    x = images
    for i in range(1, 3 * depth + 1):
        x = planar.conv(f"c{i}", x, padding=1)
        x = planar.norm_relu(f"bn{i}", x if i % depth else F.max_pool2d(x, 2))
    x = planar.conv("c_out", x.mean((2, 3), keepdim=True))
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images), x.flatten(1))


@pytest.mark.parametrize("depth", [1, 3])
def test_depth_and_maps(depth: int) -> None:
    model = ag.create_model("p4m_vgg6", channels=[2, 3], depth=depth)
    convolutions = [part for part in model.modules() if isinstance(part, GroupConvolution)]
    assert [part.out_channels for part in convolutions] == [2] * depth + [3] * depth + [2]
    assert model.feature_info.module_name() == [f"bn{depth}", f"bn{2 * depth}"]
    assert model.feature_info.reduction() == [2, 4]


def test_six_layers_are_five_stages_and_a_classifier() -> None:
    model = ag.create_model("alpha_f_p4m_vgg6")
    attentive = [part for part in model.modules() if hasattr(part, "attention")]
    assert len(attentive) == 6
    assert len(model.feature_info) == 5


def test_dropout_is_before_the_classifier_alone() -> None:
    model = ag.create_model("p4m_vgg6", channels=(2, 3), dropout=0.5).train()
    features = model.forward_features(torch.randn(4, 3, 8, 8))
    torch.testing.assert_close(model.forward_head(features, pre_logits=True), features.mean((2, 3, 4)))
    assert not torch.equal(model.forward_head(features), model.forward_head(features))
    without = ag.create_model("p4m_vgg6", channels=(2, 3)).train()
    assert torch.equal(without.forward_head(features), without.forward_head(features))


def test_sides_are_multiples_of_what_the_pools_leave() -> None:
    model = ag.create_model("p4m_vgg6")
    assert model(torch.randn(1, 3, 64, 96)).shape == (1, 2)
    with pytest.raises(ValueError, match=r"images of 64 x 48 have a side that is no multiple of 32.* to 64 x 64"):
        model(torch.randn(1, 3, 64, 48))
