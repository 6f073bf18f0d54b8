"""Checkpoints of the networks for CIFAR-10 and PCam, in the key patterns and shapes that the authors' have.

None of those files is at hand: the state dicts are made here, from the paper's description of the networks.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import attentive_gconv as ag
from attentive_gconv.models import model_entry

ORDER = {"z2": 1, "p4": 4, "p4m": 8}


class Authors(dict[str, Tensor]):
    """A state dict as the authors' modules of this group and kind of attention make it."""

    def __init__(self, group: str, attention: str) -> None:
        super().__init__()
        self.order, self.attention = ORDER[group], attention

    def conv(self, name: str, i: int, o: int, k: int, hidden: int, kernel: int = 7, lifting: bool = False) -> None:
        places = () if lifting or self.order == 1 else (self.order,)
        self[f"{name}.weight"] = torch.randn(o, i, *places, k, k) / (i * self.order * k * k) ** 0.5
        full = self.attention.startswith("full")
        each = (o,) if full else ()  # full attention has gates and a kernel for each output channel
        if self.attention in ("full", "full_channel", "input"):
            self[f"{name}.channel_attention.weight_fc1"] = torch.randn(*each, hidden, i, *places)
            self[f"{name}.channel_attention.weight_fc2"] = torch.randn(*each, i, hidden, *places)
        if self.attention in ("full", "full_spatial", "input"):
            self[f"{name}.spatial_attention.weight"] = torch.randn(o if full else 1, 2, *places, kernel, kernel)

    def norm(self, name: str, channels: int) -> None:
        for key in ("weight", "bias", "running_mean", "running_var"):
            self[f"{name}.{key}"] = torch.rand(channels) + 0.5
        self[f"{name}.num_batches_tracked"] = torch.tensor(7)


def allcnnc(state: Authors, n: int) -> None:
    widths = [3, n, n, n, 2 * n, 2 * n, 2 * n, 2 * n, 2 * n, 10]
    for layer in range(1, 10):
        i, o = widths[layer - 1 : layer + 1]
        first = layer == 1
        state.conv(f"c{layer}", i, o, 1 if layer > 7 else 3, hidden=3 if first else i // 16, lifting=first)
        state.norm(f"bn{layer}", o)


def resnet(state: Authors, widths: tuple[int, int, int]) -> None:
    state.conv("c1", 3, widths[0], 3, hidden=3, lifting=True)
    i = widths[0]
    for stage, o in zip(("layers_nc32", "layers_nc16", "layers_nc8"), widths, strict=True):
        for block in range(7):
            name = f"{stage}.{block}"
            state.norm(f"{name}.bn1", i)
            state.conv(f"{name}.c1", i, o, 3, hidden=2)
            state.norm(f"{name}.bn2", o)
            state.conv(f"{name}.c2", o, o, 3, hidden=2)
            if block == 0 and stage != "layers_nc32":
                state.conv(f"{name}.fiber_map", i, o, 1, hidden=2)
            i = o
    state.norm("bn_out", i)
    state.conv("c_out", i, 10, 1, hidden=2)


def densenet(state: Authors, n: int) -> None:
    state.conv("c1", 3, n, 3, hidden=3, lifting=True)
    for block in range(5):
        width = n * (block + 1)
        state.norm(f"block_layers.{block}.bn", width)
        state.conv(f"block_layers.{block}.conv", width, n, 3, hidden=2, kernel=5 if block == 4 else 7)
        if block < 4:
            state.norm(f"trans_layers.{block}.bn", width + n)
            state.conv(f"trans_layers.{block}.conv", width + n, width + n, 1, hidden=2)
    state.norm("bn_out", 6 * n)
    state.conv("c_out", 6 * n, 2, 1, hidden=2, kernel=3)


MADE: dict[str, tuple[Callable[..., None], object, str, str]] = {
    "allcnnc": (allcnnc, 96, "z2", "none"),
    "p4_allcnnc": (allcnnc, 48, "p4", "none"),
    "p4m_allcnnc": (allcnnc, 32, "p4m", "none"),
    "alpha_f_p4_allcnnc": (allcnnc, 48, "p4", "input"),
    "alpha_f_p4m_allcnnc": (allcnnc, 32, "p4m", "input"),
    "alpha_p4_allcnnc": (allcnnc, 48, "p4", "full"),
    "alpha_ch_p4_allcnnc": (allcnnc, 48, "p4", "full_channel"),
    "alpha_sp_p4_allcnnc": (allcnnc, 48, "p4", "full_spatial"),
    "resnet44": (resnet, (32, 64, 128), "z2", "none"),
    "p4m_resnet44": (resnet, (11, 23, 45), "p4m", "none"),
    "alpha_f_p4m_resnet44": (resnet, (11, 23, 45), "p4m", "input"),
    "densenet": (densenet, 26, "z2", "none"),
    "p4_densenet": (densenet, 13, "p4", "none"),
    "p4m_densenet": (densenet, 9, "p4m", "none"),
    "alpha_f_p4_densenet": (densenet, 13, "p4", "input"),
    "alpha_f_p4m_densenet": (densenet, 9, "p4m", "input"),
}


def authors(name: str) -> Authors:
    make, widths, group, attention = MADE[name]
    state = Authors(group, attention)
    make(state, widths)
    return state


def saved(state: dict[str, Tensor], path: Path, prefix: str = "module.") -> Path:
    torch.save({f"{prefix}{key}": value for key, value in state.items()}, path)
    return path


@pytest.mark.parametrize("name", MADE)
def test_every_key_finds_its_place(name: str, tmp_path: Path) -> None:
    state = authors(name)
    counted = ("running_mean", "running_var", "num_batches_tracked")
    learned = sum(value.numel() for key, value in state.items() if not key.endswith(counted))
    assert learned == model_entry(name).parameters
    model = ag.load_reference_checkpoint(saved(state, tmp_path / f"{name}.pth"), name)
    assert not model.training
    loaded = {key.replace(".attention.", "."): value for key, value in model.state_dict().items()}
    assert set(loaded) == set(state)
    for key, value in state.items():
        assert torch.equal(loaded[key].reshape(value.shape), value), key
        assert loaded[key].squeeze().shape == value.squeeze().shape, key


@pytest.mark.parametrize("name", ["resnet44", "alpha_f_p4_allcnnc", "p4m_densenet"])
def test_the_prefix_of_several_devices_does_not_matter(name: str, tmp_path: Path) -> None:
    state = authors(name)
    plain, prefixed = (
        ag.load_reference_checkpoint(saved(state, tmp_path / f"{len(prefix)}.pth", prefix), name)
        for prefix in ("", "module.")
    )
    images = torch.randn(1, *model_entry(name).image_shape)
    with torch.no_grad():
        logits = plain(images)
        assert torch.equal(logits, prefixed(images))
    assert logits.isfinite().all()


def test_the_file_labelled_attention_that_has_none(tmp_path: Path) -> None:
    """The released f_att_p4m_densenet is a plain p4m-DenseNet."""
    path = saved(authors("p4m_densenet"), tmp_path / "f_att_p4m_densenet.pth")
    absent = set(authors("alpha_f_p4m_densenet")) - set(authors("p4m_densenet"))
    assert len(absent) == 33
    with pytest.raises(ValueError, match="does not fit the model alpha_f_p4m_densenet: missing: ") as refusal:
        ag.load_reference_checkpoint(path, "alpha_f_p4m_densenet")
    message = str(refusal.value)
    assert all(key in message for key in absent)
    assert "left over" not in message
    assert message.endswith("it fits the model p4m_densenet: load it as that")
    ag.load_reference_checkpoint(path, "p4m_densenet")


def test_the_model_that_a_file_fits_is_named(tmp_path: Path) -> None:
    path = saved(authors("alpha_f_p4_densenet"), tmp_path / "f_att_p4_densenet.pth")
    with pytest.raises(ValueError, match=r"left over: .*; it fits the model alpha_f_p4_densenet: load it as that$"):
        ag.load_reference_checkpoint(path, "p4_densenet")
    other = {**authors("p4_densenet"), "c_out.weight": torch.zeros(5, 78, 4, 1, 1)}
    with pytest.raises(ValueError, match=r"c_out\.weight has shape \(5, 78, 4, 1, 1\), the model needs \(2, 78.*\)$"):
        ag.load_reference_checkpoint(saved(other, tmp_path / "other.pth"), "p4_densenet")
    five = ag.create_model("p4_densenet", num_classes=5)
    assert torch.equal(ag.load_reference_checkpoint(tmp_path / "other.pth", five).c_out.weight, other["c_out.weight"])
