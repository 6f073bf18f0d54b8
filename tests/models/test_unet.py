"""The attentive U-Net: masks that move with the image."""

import pytest
import torch
import torch.nn.functional as F

import attentive_gconv as ag
from attentive_gconv.models import UNet
from networks import randomise_norms_


@pytest.mark.parametrize("attention", ["none", "input", "full"])
@pytest.mark.parametrize("group", ["z2", "p4", "p4m"])
def test_masks_are_equivariant(group, attention):
    model = UNet(group, attention, channels=2, depth=2, num_classes=3, in_channels=2, spatial_kernel_size=3).double()
    images = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    randomise_norms_(model, images)
    assert model(images).shape == (2, 3, 8, 8)
    ag.testing.assert_equivariant(model, group, images)


def test_on_the_trivial_group_without_attention_it_is_a_u_net():
    model = UNet("z2", "none", channels=3, depth=1, num_classes=2).double()
    images = torch.randn(2, 1, 6, 10, dtype=torch.float64)
    randomise_norms_(model, images)
    state = {key: value.squeeze(2) if value.dim() == 5 else value for key, value in model.state_dict().items()}

    def level(name, x):
        for conv, norm in ((0, 1), (3, 4)):
            x = F.conv2d(x, state[f"{name}.{conv}.weight"], padding=1)
            values = [state[f"{name}.{norm}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
            x = F.batch_norm(x, *values).relu()
        return x

    top = level("down.0", images)
    deep = level("down.1", F.max_pool2d(top, 2))
    up = F.conv_transpose2d(deep, state["up.0.weight"].transpose(0, 1), stride=2)
    last = level("decoder.0", torch.cat([top, up], 1))
    torch.testing.assert_close(model(images), F.conv2d(last, state["head.weight"], state["head.bias"]))


def test_sides_and_arguments_that_do_not_fit_are_refused():
    model = UNet("p4", channels=2, depth=2)
    with pytest.raises(ValueError, match=r"sides are multiples of 4, got shape \(1, 1, 8, 10\); crop, pad or resize"):
        model(torch.randn(1, 1, 8, 10))
    with pytest.raises(ValueError, match=r"`depth` \(=0\)"):
        UNet(depth=0)


def test_gradients_reach_every_parameter():
    model = UNet("p4m", channels=2, depth=1, dropout=0.5)
    model(torch.randn(2, 1, 8, 8)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
