"""`to_conv2d`: every network and every kind of attention as plain PyTorch, with the same values."""

import copy
import pickle

import pytest
import torch
from torch import fx, nn
from torch.utils.flop_counter import FlopCounterMode

import attentive_gconv as ag
from attentive_gconv.export import to_conv2d
from attentive_gconv.export.conv2d_network import plain_program
from attentive_gconv.functional.fast.full_attention import chunked_form
from attentive_gconv.models.blocks import ATTENTION
from networks import randomise_norms_

# the others take seconds each
QUICK = {"z2cnn", "p4cnn", "alpha_rx_p4cnn", "p4_allcnnc", "p4m_allcnnc"}
QUICK_KINDS = {"none", "input_channel", "input_spatial", "co_attention", "se", "cbam", "bam"}


def sometimes(names: list[str], quick: set[str]) -> list[object]:
    """Parameters, of which those that are not quick are marked as slow."""
    return [pytest.param(name, marks=[] if name in quick else [pytest.mark.slow]) for name in names]


def random_model(name: str, **options: object) -> tuple[nn.Module, torch.Tensor]:
    """A network in float64 whose norms change signs, and three images."""
    model = ag.create_model(name, **options).double()
    images = torch.randn(3, *ag.models.model_entry(name).image_shape, dtype=torch.float64)
    return randomise_norms_(model, images), images


def assert_plain(model: nn.Module, images: torch.Tensor) -> fx.GraphModule:
    """The rewritten network has modules of torch alone, and the same logits."""
    plain = to_conv2d(model)
    kinds = {type(module).__module__ for module in plain.modules() if module is not plain}
    assert all(kind.startswith("torch.nn.") for kind in kinds), kinds
    targets = {str(node.target) for node in plain.graph.nodes if node.op == "call_function"}
    assert not [target for target in targets if "attentive_gconv" in target]
    with torch.no_grad():
        for batch in (images, images[:1]):
            torch.testing.assert_close(plain(batch), model(batch), rtol=1e-9, atol=1e-11)
    return plain


@pytest.mark.parametrize("name", sometimes(ag.list_models(), QUICK))
def test_networks(name):
    assert_plain(*random_model(name))


@pytest.mark.parametrize("kind", sometimes(list(ATTENTION), QUICK_KINDS))
def test_kinds_of_attention(kind):
    model, images = random_model("p4cnn", attention=kind, channels=4, num_classes=3)
    assert_plain(model, images)


def test_norms_behind_a_convolution_are_folded_and_maps_stay_planes():
    model, images = random_model("p4cnn")
    plain = assert_plain(model, images)
    assert [type(layer) for layer in plain.children()] == [nn.Conv2d] * 7
    assert [name for name, _ in plain.named_children()] == [f"c{i}" for i in range(1, 8)]
    called = [node.target for node in plain.graph.nodes if node.op == "call_function"]
    relu = torch.relu
    assert called == [relu] * 2 + [torch.max_pool2d] + [relu] * 4 + [torch.unflatten, torch.amax, torch.flatten]


def test_a_norm_behind_a_maximum_is_kept_since_its_factor_may_be_negative():
    model, images = random_model("p4_allcnnc", channels=4)
    plain = assert_plain(model, images)
    assert [name for name, layer in plain.named_children() if isinstance(layer, nn.BatchNorm2d)] == ["bn3", "bn6"]


def test_a_norm_is_not_folded_into_a_convolution_that_something_else_reads():
    class Fork(nn.Module):
        def __init__(self):
            super().__init__()
            self.lift = ag.nn.LiftingConv2d("p4", 1, 3, 3)
            self.norm = ag.nn.GroupBatchNorm2d(3)

        def forward(self, x):
            x = self.lift(x)
            return (self.norm(x) + x).mean((-3, -2, -1))

    images = torch.randn(3, 1, 9, 9, dtype=torch.float64)
    model = randomise_norms_(Fork().double(), images)
    plain = to_conv2d(model, image_shape=(1, 9, 9))
    torch.testing.assert_close(plain(images), model(images))
    assert isinstance(plain.norm, nn.BatchNorm2d)


def test_images_of_other_sizes_where_the_network_takes_them():
    model, _ = random_model("p4_allcnnc", channels=4)
    images = torch.randn(2, 3, 40, 24, dtype=torch.float64)
    torch.testing.assert_close(to_conv2d(model)(images), model(images))


def test_images_standardised_one_by_one_of_other_sizes():
    model, images = random_model("vgg6", channels=(2, 3), standardize=True)
    plain = assert_plain(model, images)
    other = torch.randn(2, 3, 40, 24, dtype=torch.float64)
    torch.testing.assert_close(plain(other), model(other))


def test_a_network_of_ones_own():
    model = nn.Sequential(
        ag.nn.LiftingConv2d("p4m", 2, 3, 3, padding=1, padding_mode="circular", bias=True),
        ag.nn.GroupBatchNorm2d(3),
        nn.GELU(),
        ag.nn.SpatialAvgPool2d(2),
        ag.nn.InputAttentiveGroupConv2d("p4m", 3, 4, 3, stride=2, groups=1, bias=True),
        nn.Dropout(0.5),
        ag.nn.AttentiveGroupConv2d("p4m", 4, 3, 3, padding=1, bias=True, combination="amplify"),
        ag.nn.GroupMeanPool(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(3, 5),
    ).double()
    images = torch.randn(2, 2, 14, 14, dtype=torch.float64)
    model = randomise_norms_(model, images)
    torch.testing.assert_close(to_conv2d(model, image_shape=(2, 14, 14))(images), model(images))


def test_other_tools_take_it():
    model, images = random_model("alpha_f_p4cnn", channels=4)
    plain = to_conv2d(model)
    expected = model(images)
    torch.testing.assert_close(fx.symbolic_trace(plain)(images), expected)
    torch.testing.assert_close(copy.deepcopy(plain)(images), expected)
    torch.testing.assert_close(pickle.loads(pickle.dumps(plain))(images), expected)
    last = torch.channels_last
    torch.testing.assert_close(copy.deepcopy(plain).to(memory_format=last)(images.to(memory_format=last)), expected)
    counts = []
    for network in (plain, model):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(images)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_full_attention_is_a_loop_in_files_alone(monkeypatch):
    monkeypatch.setattr(chunked_form, "MOST_COPIES", 4)
    model, images = random_model("p4cnn", attention="full", channels=4)
    ag.nn.configure_attention(model, memory_budget=1)
    scan = torch.ops.higher_order.scan
    assert not list(assert_plain(model, images).graph.find_nodes(op="call_function", target=scan))
    plain, program = plain_program(model)
    found = list(plain.graph.find_nodes(op="call_function", target=scan))
    assert len(found) == 6
    # maxima whose places are not used are cheap ones in the body, too
    bodies = [plain.get_submodule(loop.args[0].target) for loop in found]
    assert not [node for body in bodies for node in body.graph.nodes if node.target is torch.ops.aten.max.dim]
    for network in (plain, program.module()):
        torch.testing.assert_close(network(images), model(images))


def test_float32_differs_by_rounding():
    model, images = random_model("alpha_f_p4cnn")
    model, images = model.float(), images.float()
    torch.testing.assert_close(to_conv2d(model)(images), model(images), rtol=1e-4, atol=1e-5)


def test_refusals():
    with pytest.raises(ValueError, match=r"in training mode.*call eval\(\)"):
        to_conv2d(ag.create_model("p4cnn"))
    with pytest.raises(ValueError, match=r"`image_shape` \(=None\) is not known of a Sequential: give \(C, Y, X\)"):
        to_conv2d(nn.Sequential(nn.ReLU()).eval())


def test_the_original_is_left_as_it_was():
    model, _ = random_model("p4cnn", channels=4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    to_conv2d(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
