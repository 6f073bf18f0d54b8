"""The networks for CIFAR-10 and PCam, and the VGGs: exact sizes, equivariance, variants, the images they take."""

import pytest
import torch
from torch import Tensor, nn

import attentive_gconv as ag
from attentive_gconv.models import allcnnc, densenet, model_entry, resnet, vgg
from attentive_gconv.models.blocks import ATTENTION
from networks import randomise_norms_

# the paper's, and its released code's; the VGGs are ours
PARAMETERS = {
    "allcnnc": 1_370_996,
    "p4_allcnnc": 1_370_372,
    "p4m_allcnnc": 1_219_252,
    "alpha_f_p4_allcnnc": 1_400_120,
    "alpha_f_p4m_allcnnc": 1_249_192,
    "alpha_p4_allcnnc": 3_642_388,
    "alpha_ch_p4_allcnnc": 3_407_972,
    "alpha_sp_p4_allcnnc": 1_604_788,
    "resnet44": 2_636_064,
    "p4m_resnet44": 2_621_683,
    "alpha_f_p4m_resnet44": 2_693_911,
    "densenet": 130_598,
    "p4_densenet": 129_649,
    "p4m_densenet": 124_209,
    "alpha_f_p4_densenet": 140_453,
    "alpha_f_p4m_densenet": 141_221,
    "vgg6": 110_347,
    "p4m_vgg6": 109_590,
    "alpha_f_p4m_vgg6": 116_506,
}
# a small network of each family, and images that it takes
SMALL = {
    "allcnnc": ("p4_allcnnc", {"channels": 4, "ratio": 2}, 8),
    "resnet": ("p4m_resnet44", {"channels": (2, 3, 4), "num_blocks": 1}, 8),
    "densenet": ("p4_densenet", {"channels": 2, "num_blocks": 1}, 12),
    "vgg": ("p4m_vgg6", {"channels": (3, 4), "depth": 2, "ratio": 2}, 8),
}
families = pytest.mark.parametrize("family", SMALL)


def small(family: str, **options: object) -> nn.Module:
    name, narrow, _ = SMALL[family]
    return ag.create_model(name, **{**narrow, **options})


def check(model: nn.Module, images: Tensor) -> None:
    """Equivariance to 1e-10, even in relation to what the logits of two images differ by."""
    randomise_norms_(model, images)
    with torch.no_grad():
        logits = model(images)
    difference = (logits[0] - logits[1]).abs().max() / logits[0].abs().max()
    assert difference > 1e-5
    errors = ag.check_equivariance(model, model.group, images[:1])
    assert errors.shape == (model.group.order,)
    assert errors.max() <= 1e-10 * min(difference, 1)


def test_these_are_all() -> None:
    others = set(ag.list_models()) - set(PARAMETERS)
    assert {model_entry(name).family for name in others} == {"rot-mnist"}
    assert set(PARAMETERS) <= set(ag.list_models())


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_count(name: str) -> None:
    with torch.device("meta"):
        model = ag.create_model(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    assert model_entry(name).parameters == PARAMETERS[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_equivariance_on_the_papers_images(name: str) -> None:
    entry = model_entry(name)
    model = ag.create_model(name).double()
    check(model, torch.randn(2, *entry.image_shape, dtype=torch.float64))
    assert model.group.name == entry.defaults["group"]


@families
@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("group", ["p4", "p4m"])
def test_every_group_with_every_attention(family: str, attention: str, group: str) -> None:
    side = SMALL[family][2]
    model = small(family, group=group, attention=attention, in_channels=2, num_classes=3).double()
    check(model, torch.randn(2, 2, side, side, dtype=torch.float64))


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("p4m_allcnnc", {"attention": "full", "channels": 16}, (3, 8, 8)),
        ("alpha_f_p4m_allcnnc", {"channels": 16}, (3, 24, 40)),
        ("p4m_resnet44", {"num_blocks": 3}, (3, 8, 8)),
        ("p4m_resnet44", {"group": "p4"}, (3, 8, 8)),
        ("resnet44", {"group": "p4", "channels": (4, 8, 16), "num_classes": 100}, (3, 12, 8)),
        ("alpha_f_p4_densenet", {"num_blocks": 2, "dilations": [(2, 2), (1, 1)]}, (3, 20, 28)),
        ("alpha_f_p4_densenet", {"num_blocks": 5, "channels": 2}, (3, 160, 160)),
        ("p4_densenet", {"in_channels": 1}, (1, 80, 112)),
        ("alpha_f_p4m_vgg6", {"depth": 2, "channels": (4, 8, 8), "pool": "blur", "in_channels": 1}, (1, 32, 24)),
    ],
)
def test_variants_are_one_call_away(name: str, options: dict[str, object], shape: tuple[int, ...]) -> None:
    model = ag.create_model(name, **options).double()
    check(model, torch.randn(2, *shape, dtype=torch.float64))
    assert model(torch.randn(1, *shape, dtype=torch.float64)).shape == (
        1,
        options.get("num_classes", model_entry(name).num_classes),
    )


@families
@pytest.mark.parametrize("attention", ATTENTION)
def test_every_parameter_takes_part(family: str, attention: str) -> None:
    side = SMALL[family][2]
    model = small(family, attention=attention)
    model(torch.randn(2, 3, side, side)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} has no part in the logits"
        assert parameter.grad.isfinite().all()


@families
def test_sizes_that_break_equivariance_are_refused(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, side = SMALL[family]
    model = small(family, in_channels=1).double()
    images = torch.randn(2, 1, side + 2, side + 1, dtype=torch.float64)
    with pytest.raises(
        ValueError, match=rf"{side + 2} x {side + 1} have .* no multiple of \d.* for example to \d+ x \d+"
    ):
        model(images)
    square = torch.randn(2, 1, side + 1, side + 1, dtype=torch.float64)
    for module in (allcnnc, resnet, densenet, vgg):
        monkeypatch.setattr(module, "check_images", lambda *_, **__: None)
    assert ag.check_equivariance(randomise_norms_(model, square), model.group, square).max() > 1e-4
    # translations alone lose nothing
    monkeypatch.undo()
    assert small(family, group="z2", in_channels=1)(images.float()).shape[0] == 2


@families
def test_images_that_are_none_or_too_small_are_refused(family: str) -> None:
    model = small(family)
    with pytest.raises(ValueError, match=r"images \(B, C, Y, X\), got shape \(3, 32, 32\)"):
        model(torch.randn(3, 32, 32))
    least = 10 if family == "densenet" else 4
    for group in ("z2", "p4"):
        model = small(family, group=group).eval()
        with pytest.raises(
            ValueError, match=rf"images of {least - 1} x {least} are too small .* least side is {least}"
        ):
            model(torch.randn(1, 3, least - 1, least))
        assert model(torch.randn(1, 3, least, least)).isfinite().all()


@families
def test_channels_that_do_not_fit_are_refused(family: str) -> None:
    side = SMALL[family][2]
    with pytest.raises(ValueError, match=r"takes a planar map \(B, 3, Y, X\), got shape \(2, 1"):
        small(family)(torch.randn(2, 1, side, side))


@families
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("group", "p5", "p5"),
        ("attention", "inputs", "unknown attention 'inputs': did you mean 'input'"),
        ("channels", 0, r"`channels` \(=0\) must be"),
        ("num_classes", -1, r"`num_classes` \(=-1\) must be"),
        ("in_channels", 0, r"`in_channels` \(=0\) must be"),
    ],
)
def test_options_out_of_range_are_refused(family: str, option: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(family, **{option: value})


@families
def test_unknown_options_are_refused(family: str) -> None:
    with pytest.raises(TypeError, match="no option 'chanels': did you mean 'channels'"):
        small(family, chanels=3)


@families
def test_a_whole_network_moves_between_dtypes_and_modes(family: str) -> None:
    """In eval mode a batch is its images one by one; bfloat16 agrees with float32 as far as it goes."""
    side = SMALL[family][2]
    images = torch.randn(3, 3, side, side)
    model = randomise_norms_(small(family, attention="input"), images)
    with torch.no_grad():
        whole = model(images)
        single = torch.cat([model(image[None]) for image in images])
        with torch.autocast("cpu", torch.bfloat16):
            low = model(images)
    torch.testing.assert_close(whole, single, rtol=1e-4, atol=1e-5)
    assert (low - whole).abs().max() < 0.2 * whole.abs().max()
