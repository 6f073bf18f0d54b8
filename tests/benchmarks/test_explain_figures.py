"""The script of docs/guides/explain.md: regions, and the figures of the table, on maps whose values are known."""

import sys

import pytest
import torch

import attentive_gconv as ag
import explain_figures
from attentive_gconv.visualize.display import Display
from explain_figures import main, measure, regions, table


def test_regions_part_the_image():
    images = torch.zeros(1, 1, 9, 9)
    images[0, 0, 4, 4] = 1
    where = regions(images, Display())
    assert where["strokes"].sum() == 1
    assert where["rim"].sum() == 24
    assert not (where["strokes"] & where["rim"]).any()
    assert not (where["ground"] & (where["rim"] | where["strokes"])).any()


class Keeps(torch.nn.Module):
    """Attention that keeps 1 - α, with α the image itself, or the same frame for every image."""

    def __init__(self, alpha: torch.Tensor | None) -> None:
        super().__init__()
        part = torch.nn.Identity() if alpha is None else Constant(alpha)
        self.attend = ag.nn.Attend({"part": part}, "suppress")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attend(x)


class Constant(torch.nn.Module):
    def __init__(self, alpha: torch.Tensor) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.alpha.expand_as(x)


def test_the_table_says_what_is_kept_where_and_what_no_image_changes():
    images = (torch.rand(30, 1, 9, 9) > 0.9).float()
    row = measure(Keeps(None), images, Display())["attend"]
    assert row["strokes"] == 0
    assert row["rim"] == row["ground"] == 1
    assert row["same"] < 0.2
    frame = measure(Keeps(torch.rand(1, 1, 9, 9)), images, Display())
    assert frame["attend"]["same"] == pytest.approx(1)
    assert "| attend | 0." in table(frame)


def test_a_folder_without_checkpoints_is_named(tmp_path, monkeypatch, tiny_rot_mnist):
    monkeypatch.setattr(
        sys, "argv", ["explain_figures", "--checkpoints", str(tmp_path), "--out", str(tmp_path / "out")]
    )
    with pytest.raises(FileNotFoundError, match=r"alpha_f_p4cnn\.pth"):
        main()
    assert not (tmp_path / "out").exists()


@pytest.fixture
def tiny_rot_mnist(monkeypatch):
    from attentive_gconv.data import load_dataset

    monkeypatch.setattr(explain_figures, "load_dataset", lambda *args, **options: load_dataset("digits"))
