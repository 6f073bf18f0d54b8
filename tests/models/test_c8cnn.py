"""The C8-networks, the families with groups beyond 90°, and blurred pools."""

import math

import pytest
import torch
from torch import nn

import attentive_gconv as ag
from attentive_gconv.models import model_entry
from helpers import open_gates_, relative_error
from networks import randomise_norms_

PARAMETERS = {"c8cnn": 26_201, "alpha_f_c8cnn": 29_983}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_and_the_exact_subgroup(name):
    images = torch.randn(2, 1, 28, 28, dtype=torch.float64)
    model = randomise_norms_(ag.create_model(name).double(), images)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name] <= 30_000
    assert model_entry(name).parameters == PARAMETERS[name]
    ag.testing.assert_equivariant(model, model.group, images, approximate_tolerance=math.inf)
    ag.testing.assert_equivariant(model, "p4", images)
    with torch.no_grad():
        logits = model(images)
    assert relative_error(logits[:1], logits[1:]) > 0.05


@pytest.mark.parametrize("name", PARAMETERS)
def test_training_step_changes_every_parameter(name):
    model = open_gates_(ag.create_model(name, dropout=0.0))
    before = {key: value.clone() for key, value in model.named_parameters()}
    loss = nn.functional.cross_entropy(model(torch.randn(4, 1, 28, 28)), torch.tensor([1, 2, 3, 4]))
    loss.backward()
    torch.optim.Adam(model.parameters(), lr=1e-2).step()
    assert not [key for key, value in model.named_parameters() if torch.equal(value, before[key])]


@pytest.mark.parametrize(
    ("name", "options", "side"),
    [
        ("p4cnn", {"group": "d6", "attention": "full", "channels": 2}, 28),
        ("p4cnn", {"group": "c16", "attention": "cbam", "channels": 2, "kernel_size": 7}, 28),
        ("p4_allcnnc", {"group": "c8", "attention": "input", "channels": 2, "ratio": 1, "pool": "blur"}, 16),
        ("p4m_resnet44", {"group": "d3", "channels": (2, 2, 3), "num_blocks": 1, "pool": "blur"}, 16),
        ("p4_densenet", {"group": "c8", "attention": "input", "channels": 2, "num_blocks": 2}, 20),
    ],
)
def test_families_take_groups_beyond_90_degrees(name, options, side):
    images = torch.randn(2, 3, side, side, dtype=torch.float64)
    model = randomise_norms_(ag.create_model(name, in_channels=3, **options).double(), images)
    assert torch.isfinite(model(images)).all()
    ag.testing.assert_equivariant(model, model.group.exact, images)


@pytest.mark.parametrize("kernel_size", [3, 5, 9])
def test_kernel_size_and_pool_leave_the_sizes_of_the_maps(kernel_size):
    sides = []
    model = ag.create_model("p4cnn", kernel_size=kernel_size, pool="blur")
    for i in range(1, 8):
        model.get_submodule(f"c{i}").register_forward_hook(lambda module, args, out: sides.append(out.shape[-1]))
    model(torch.randn(1, 1, 28, 28))
    assert sides == [26, 24, 10, 8, 6, 4, 1]
    ag.testing.assert_equivariant(model, "p4", torch.randn(2, 1, 28, 28))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 1}, r"`kernel_size` \(=1\) must be at least 3"),
        ({"kernel_size": 4}, r"`kernel_size` \(=4\) must be odd"),
        ({"pool": "blurred"}, "unknown pool 'blurred': did you mean 'blur'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ag.create_model("c8cnn", **options)
