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


@pytest.mark.parametrize("name", ["vgg6", "alpha_f_p4m_vgg6"])
def test_standardised_images_have_neither_brightness_nor_contrast(name: str) -> None:
    images = torch.rand(3, 2, 16, 8, dtype=torch.float64)
    options = {"channels": (2, 3), "in_channels": 2}
    model = ag.create_model(name, standardize=True, **options).double()
    model = randomise_norms_(model, images)
    brighter = images * torch.tensor([0.5, 2.0, 3.0])[:, None, None, None] + torch.tensor([7.0, 0.0, -1.0]).view(
        3, 1, 1, 1
    )
    with torch.no_grad():
        torch.testing.assert_close(model(brighter), model(images), rtol=0, atol=3e-4)  # 1e-5 is added to the variance
        plain = ag.create_model(name, **options).double().eval()
        plain.load_state_dict(model.state_dict())
        own = (images - images.mean((1, 2, 3), keepdim=True)) / images.std((1, 2, 3), correction=0, keepdim=True)
        torch.testing.assert_close(model(images), plain(own), rtol=0, atol=3e-4)
        assert not torch.allclose(plain(brighter), plain(images), atol=1e-2)
        maps = model.forward_intermediates(images, intermediates_only=True)
        torch.testing.assert_close(maps[-1], model.forward_features(images))


def test_standardising_commutes_with_every_pose() -> None:
    images = torch.rand(2, 1, 16, 16, dtype=torch.float64)
    model = randomise_norms_(
        ag.create_model("p4m_vgg6", channels=(2, 3), in_channels=1, standardize=True).double(), images
    )
    with torch.no_grad():
        for pose in (images.rot90(1, (2, 3)), images.rot90(2, (2, 3)), images.flip(3), images.flip(3).rot90(3, (2, 3))):
            torch.testing.assert_close(model(pose), model(images), rtol=0, atol=1e-12)
