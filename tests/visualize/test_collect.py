"""Collection: what is shown, that the forward pass does not notice, and that no hook stays behind."""

import pytest
import torch
from torch import Tensor, nn

import attentive_gconv as ag
from attentive_gconv.functional import (
    COMBINATIONS,
    FullAttentionWeights,
    separate_responses,
    suppression_maps_definition,
)
from attentive_gconv.visualize import collect_attention
from helpers import open_gates_, randomise_

KINDS = [
    "full",
    "full_channel",
    "full_spatial",
    "input",
    "input_channel",
    "co_attention",
    "se",
    "cbam",
    "bam",
    "residual",
]


def network(attention: str = "input", group: str = "p4", **options: object) -> nn.Module:
    """A small rot-MNIST network in a random state, whose dropout and norms are there."""
    if attention in ("se", "cbam", "bam", "residual"):
        options.setdefault("ratio", 1)
    model = ag.create_model("p4cnn", group=group, attention=attention, channels=3, num_classes=3, **options).double()
    return open_gates_(randomise_(model)).eval()


def images(batch: int = 2) -> Tensor:
    return torch.randn(batch, 1, 28, 28, dtype=torch.float64)


def hooks(model: nn.Module) -> list[dict]:
    """Everything in which torch keeps the hooks of a module, for every module."""
    names = [name for name in vars(nn.Module()) if "hooks" in name]
    assert len(names) >= 8
    return [dict(vars(part)[name]) for part in model.modules() for name in names]


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("attention", KINDS)
def test_no_bit_changes_and_no_hook_stays(attention, training):
    """Output, gradients, running statistics and the stream of random numbers are those of a plain forward pass."""
    model = network(attention).train(training)
    start = {key: value.clone() for key, value in model.state_dict().items()}
    x = images()

    def run(collecting: bool) -> list[Tensor]:
        model.load_state_dict(start)
        model.zero_grad()
        torch.manual_seed(1)
        if collecting:
            with collect_attention(model) as maps:
                output = model(x)
            assert maps
        else:
            output = model(x)
        output.square().sum().backward()
        state = [value.clone() for value in model.state_dict().values()]
        return [output, torch.rand(3), *state, *(p.grad for p in model.parameters() if p.grad is not None)]

    before = hooks(model)
    plain, watched = run(False), run(True)
    assert len(plain) == len(watched)
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))
    assert hooks(model) == before


def test_a_forward_pass_in_training_mode_leaves_the_buffers_themselves():
    """A backward pass that is still to come needs them as they were."""
    model = network("bam").train()
    buffers = dict(model.named_buffers())
    loss = model(images()).sum()
    ag.attention_maps(model, images())
    loss.backward()
    assert all(buffer is buffers[name] for name, buffer in model.named_buffers())


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError("broken")


def test_no_hook_stays_when_the_forward_pass_raises():
    model = network()
    before = hooks(model)
    model.bn3 = Broken()
    for collect in (ag.attention_maps, ag.explain):
        model.train().bn3.training = False
        modes = [part.training for part in model.modules()]
        with pytest.raises(KeyError, match="broken"):
            collect(model, images())
        assert all(not hook for hook in hooks(model.bn3))
        assert [part.training for part in model.modules()] == modes
    model.bn3 = network().bn3
    assert hooks(model) == before


def test_no_hook_stays_when_an_input_does_not_fit_an_attending_module():
    model = network()
    before = hooks(model)
    with pytest.raises(ValueError, match="takes a planar map"):
        ag.attention_maps(model, torch.randn(2, 5, 28, 28, dtype=torch.float64))
    assert hooks(model) == before


def test_full_attention_shows_what_is_kept():
    """Against the definition, computed from the tensors that the layer is given."""
    layer = randomise_(ag.nn.AttentiveGroupConv2d("p4", 4, 3, 3, padding=1).double())
    x = torch.randn(2, 4, 4, 6, 6, dtype=torch.float64)
    fc1, fc2 = layer.channel_attention.gates()
    responses = separate_responses(x, layer.transformed("weight"), padding=1)
    weights = FullAttentionWeights(layer.transformed("weight"), fc1, fc2, layer.spatial_attention.kernel())
    alpha_c, alpha_x = suppression_maps_definition(responses, weights)
    for reduction, reduce in (("mean", torch.mean), ("max", torch.amax)):
        for pose, axis in (("input", 2), ("output", 4)):
            shown = ag.attention_maps(layer, x, reduction=reduction, pose=pose)
            for part, alpha in (("channel", alpha_c), ("spatial", alpha_x)):
                expected = reduce(1 - alpha, (1, axis))
                expected = expected if pose == "input" else expected.transpose(1, 2)
                torch.testing.assert_close(shown[f"{part}_attention"], expected)
            whole = ag.attention_maps(layer, x, reduction=reduction, pose=pose, parts=False)[""]
            expected = reduce(1 - alpha_c * alpha_x, (1, 3, axis)).unsqueeze(1)
            torch.testing.assert_close(whole, expected)
    torch.testing.assert_close(ag.attention_maps(layer, x, reduction="none")["spatial_attention"], 1 - alpha_x)
    torch.testing.assert_close(ag.attention_maps(layer, x, reduction="none", parts=False)[""], 1 - alpha_c * alpha_x)
    torch.testing.assert_close(ag.attention_maps(layer, x, reduction="none", kept=False)["channel_attention"], alpha_c)


@pytest.mark.parametrize("reduction", ["mean", "max"])
@pytest.mark.parametrize("combination", list(COMBINATIONS))
@pytest.mark.parametrize("lifting", [False, True], ids=["group", "lifting"])
def test_pieces_of_any_size_give_the_same(lifting, combination, reduction):
    """The layer's budget changes how much is computed at a time, and nothing else."""
    kind = ag.nn.AttentiveLiftingConv2d if lifting else ag.nn.AttentiveGroupConv2d
    layer = randomise_(kind("p4", 4, 5, 3, combination=combination).double())
    x = torch.randn(3, 4, *(() if lifting else (4,)), 6, 6, dtype=torch.float64)
    results = []
    for budget in (1, 30_000, 1 << 30):
        layer.configure(memory_budget=budget)
        pieces = len(list(layer.suppression_map_tiles(x)))
        assert pieces == {1: 15, 1 << 30: 1}.get(budget, pieces)
        results.append({**ag.attention_maps(layer, x, reduction=reduction, parts=False), **named(layer, x, reduction)})
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])


def named(layer: nn.Module, x: Tensor, reduction: str) -> dict[str, Tensor]:
    channel, spatial = layer.suppression_maps(x)
    return {**ag.attention_maps(layer, x, reduction=reduction), "α_C": channel, "α_X": spatial}


@pytest.mark.parametrize("combination", list(COMBINATIONS))
def test_input_attention_shows_the_factor_of_the_input(combination):
    """Without reduction the factor times the input is the module's output."""
    attend = randomise_(ag.nn.InputAttention("p4", 4, combination=combination).double())
    x = torch.randn(2, 4, 4, 7, 7, dtype=torch.float64)
    factor = ag.attention_maps(attend, x, parts=False, reduction="none")[""]
    torch.testing.assert_close(factor * x, attend(x))
    rule = COMBINATIONS[combination]
    shown, alpha = ag.attention_maps(attend, x), ag.attention_maps(attend, x, kept=False)
    assert set(shown) == {"channel_attention", "spatial_attention"}
    assert shown["spatial_attention"].shape == (2, 1, 4, 7, 7)
    for part in shown:
        torch.testing.assert_close(shown[part], rule.skip + rule.attended * alpha[part])
    product = alpha["channel_attention"] * alpha["spatial_attention"]
    torch.testing.assert_close(product, attend.suppression_map(x))
    mean = ag.attention_maps(attend, x, parts=False)[""]
    torch.testing.assert_close(mean, factor.mean(1, keepdim=True))


def test_names_are_those_of_the_modules_that_make_the_maps():
    for attention in ("full", "input", "bam", "residual"):
        model = network(attention)
        for name in [*ag.attention_maps(model, images()), *ag.attention_maps(model, images(), parts=False)]:
            assert isinstance(model.get_submodule(name), nn.Module)


def test_a_module_that_runs_twice_has_two_maps():
    attend = ag.nn.SqueezeExcite("p4", 4, 2)
    twice = nn.Sequential(attend, attend)
    assert list(ag.attention_maps(twice, torch.randn(1, 4, 4, 5, 5))) == [
        "0.channel_attention",
        "0.channel_attention:2",
    ]


def test_layers_may_be_called_with_a_keyword():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = ag.nn.InputAttentiveGroupConv2d("p4", 4, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x=x)

    assert len(ag.attention_maps(Model(), torch.randn(1, 4, 4, 5, 5))) == 2


def test_without_attention_there_are_no_maps():
    assert ag.attention_maps(network("none"), images()) == {}


def test_a_model_whose_attention_is_not_reached_is_an_error():
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = ag.nn.SqueezeExcite("p4", 4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(RuntimeError, match="none of the 1 attention modules"):
        ag.attention_maps(Idle(), images())


@pytest.mark.parametrize(("option", "near"), [({"reduction": "men"}, "mean"), ({"pose": "inputs"}, "input")])
def test_unknown_names_are_errors_with_suggestions(option, near):
    with pytest.raises(ValueError, match=f"did you mean '{near}'"):
        ag.attention_maps(network(), images(), **option)


def test_half_precision_and_autocast_do_not_matter():
    """Full attention is always computed in the weights' precision."""
    layer = ag.nn.AttentiveGroupConv2d("p4", 4, 3, 3, padding=1)
    x = torch.randn(1, 4, 4, 6, 6)
    expected = ag.attention_maps(layer, x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(ag.attention_maps(layer, x), expected)
