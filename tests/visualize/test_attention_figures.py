"""Figures: what stands where, and that they are written."""

import numpy as np
import pytest
import torch
from PIL import Image

import attentive_gconv as ag
from attentive_gconv.visualize import attention_figures, turning
from attentive_gconv.visualize.animation import TurnFigure, save_turn
from attentive_gconv.visualize.display import Display
from attentive_gconv.visualize.turning import full_turn

IMAGE = torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(3))


def network(group: str = "p4", attention: str = "input") -> torch.nn.Module:
    return ag.create_model("p4cnn", group=group, attention=attention, channels=2, num_classes=3).eval()


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("group", ["p4", "p4m"])
def test_arrows_say_where_up_goes_on_the_screen(group, transposed):
    """A mark at the top of the image that is shown goes where the arrow points, however the network stores it."""
    g, display = ag.group(group), Display(transposed=transposed)
    top = torch.zeros(5, 5)
    top[0, 2] = 1
    stored = top.mT if transposed else top
    for h, arrow in display.poses(g):
        shown = display.plane(g.act_on_plane(h, stored))
        (y, x), *_ = np.argwhere(shown)
        assert (x - 2, y - 2) == (2 * arrow.x, 2 * arrow.y)
        slant = torch.zeros(5, 5)
        slant[0, 1] = slant[0, 2] = 1  # to the left of up: mirrored poses have it on the other side
        (ys, xs) = np.nonzero(display.plane(g.act_on_plane(h, slant.mT if transposed else slant)))
        offset = np.array([xs.mean() - 2, ys.mean() - 2]) - 2 * np.array([arrow.x, arrow.y])
        side = arrow.x * offset[1] - arrow.y * offset[0]  # which side of the arrow, y down
        assert (side > 0) == arrow.mirrored
    degrees = [arrow.degrees for _, arrow in display.poses(g)]
    assert degrees == [0, 90, 180, 270] * (g.order // 4)


def test_images_are_shown_upright_and_in_their_own_greys():
    display = Display((0.2,), (0.5,), transposed=True)
    image = (IMAGE - 0.2) / 0.5
    np.testing.assert_allclose(display.pixels(image), IMAGE[0].T, atol=1e-6)
    assert Display().pixels(torch.rand(3, 5, 7)).shape == (5, 7, 3)
    with pytest.raises(ValueError, match="must be"):
        display.pixels(torch.rand(2, 5, 5))


@pytest.mark.parametrize(("group", "attention"), [("p4", "full"), ("p4m", "input"), ("z2", "input"), ("p4", "none")])
def test_the_overview_shows_the_image_the_sum_and_every_pose(group, attention):
    model = network(group, attention)
    explanation = ag.explain(model, IMAGE)
    figure = attention_figures.overview(explanation, IMAGE, title="hello")
    assert figure.get_suptitle() == "hello"
    drawn = [axes for axes in figure.axes if axes.images]
    order = explanation.group.order
    assert len(drawn) == (2 if order == 1 else 3 + order)
    np.testing.assert_array_equal(drawn[0].images[0].get_array(), IMAGE[0])
    np.testing.assert_array_equal(drawn[1].images[1].get_array(), explanation.sum)
    panels = drawn[3:]
    for (h, arrow), axes in zip(Display().poses(explanation.group), panels, strict=False):
        np.testing.assert_array_equal(axes.images[0].get_array(), explanation.poses[h])
        assert axes.get_title() == f"{arrow.name}: {100 * explanation.strengths[h]:.1f} %"
    assert len({axes.images[0].get_clim() for axes in panels}) <= 1, "poses share their scale"
    with pytest.raises(ValueError, match="of a batch of 2"):
        attention_figures.overview(ag.explain(model, torch.stack([IMAGE, IMAGE])), IMAGE)


def test_layers_have_a_row_each():
    explanation = ag.explain(network("p4", "input"), IMAGE)
    figure = attention_figures.layer_maps(explanation, IMAGE, Display(transposed=True))
    drawn = [axes for axes in figure.axes if axes.images]
    assert len(drawn) == 2 + 1 + 6 * 4, "the image, the sum, c1 without pose, six layers with four"
    np.testing.assert_array_equal(drawn[3].images[0].get_array(), explanation.layers["c2.attention"][0].T)
    labels = " ".join(text.get_text() for axes in figure.axes for text in axes.texts)
    for name in explanation.layers:
        assert name in labels
    assert drawn[2].get_title() == "no pose"


def test_the_sheet_shows_no_difference_for_p4_and_one_for_z2():
    equivariant = attention_figures.rotation_sheet(network().double(), IMAGE.double(), title="net")
    assert equivariant.get_suptitle().startswith("net: largest difference")
    assert float(equivariant.get_suptitle().split()[3]) < 1e-10
    rows = [axes for axes in equivariant.axes if axes.images][:12]
    assert all(np.abs(axes.images[0].get_array()).max() < 1e-10 for axes in rows[8:12])
    planar = attention_figures.rotation_sheet(network("z2", "none"), IMAGE)
    assert float(planar.get_suptitle().split()[2]) > 0.01
    differences = [axes.images[0].get_array() for axes in planar.axes if axes.images][8:12]
    assert np.abs(differences[0]).max() == 0
    assert all(np.abs(difference).max() > 0 for difference in differences[1:])


def test_figures_are_written_whole(tmp_path):
    figure = attention_figures.new_figure(1, 1)
    for ending, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        assert attention_figures.save_figure(figure, tmp_path / f"a.{ending}").read_bytes().startswith(start)
    with pytest.raises(ValueError, match=r"must end in \.png"):
        attention_figures.save_figure(figure, tmp_path / "a.txt")
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "a.svg", "a.pdf"}


def test_the_animation_has_a_frame_a_step(tmp_path):
    turn = full_turn(network(), IMAGE, steps=4)
    with Image.open(save_turn(turn, tmp_path / "a.gif", classes=("a", "b", "c"))) as image:
        assert (image.format, image.n_frames) == ("GIF", 4)
        assert image.info["loop"] == 0
    with pytest.raises(ValueError, match=r"must end in \.gif"):
        save_turn(turn, tmp_path / "a.png")
    shown = TurnFigure(turn, Display(), "net", ("a", "b", "c"))
    shown.show(3)
    np.testing.assert_array_equal(shown.map.images[0].get_array(), turn.maps[3])
    best = turn.outputs[3].softmax(0)
    assert shown.image.get_title() == f"270°: {'abc'[int(best.argmax())]}, {100 * best.max():.0f} %"
    assert shown.point.get_xydata().tolist() == [[270, float(turn.errors[3])]]


def test_arrays_are_those_of_the_network():
    explanation = ag.explain(network(), IMAGE)
    arrays = attention_figures.as_arrays(explanation, IMAGE)
    np.testing.assert_array_equal(arrays["poses"], explanation.poses)
    np.testing.assert_array_equal(arrays["layer:c3.attention"], explanation.layers["c3.attention"])
    assert set(arrays) >= {"image", "output", "sum", "pose_at", "strengths"}


@pytest.mark.parametrize("group", ["c8", "c16"])
def test_groups_beyond_90_degrees_have_as_many_panels(group):
    model, g = network(group), ag.group(group)
    explanation = ag.explain(model, IMAGE)
    assert explanation.poses.shape == (g.order, 28, 28)
    whole = attention_figures.overview(explanation, IMAGE)
    titles = [axes.get_title() for axes in whole.axes]
    for _, arrow in Display().poses(g):
        assert sum(title.startswith(f"{arrow.name}: ") for title in titles) == 1
    assert {arrow.name for _, arrow in Display().poses(g)} == {g.element_name(h) for h in range(g.order)}
    layers = attention_figures.layer_maps(explanation, IMAGE)
    assert sum(axes.get_title() == "22.5°" for axes in layers.axes) == (6 if group == "c16" else 0)
    sheet = attention_figures.rotation_sheet(model.double(), IMAGE.double())
    assert len(sheet.axes) == 3 * g.order + 1
    assert "in the exact poses" in sheet.get_suptitle()


def test_poses_of_an_approximate_group_keep_the_background():
    """What a rotation by 45° brings in from outside has the border's value; the exact poses differ by rounding."""
    model, image = network("c8").double(), torch.full((1, 28, 28), -0.4).double()
    image[:, 9:19, 12:16] = 2.0
    poses = turning.all_poses(model, image)
    assert torch.allclose(poses.images[:, 0, 0, 0], torch.tensor(-0.4).double())
    exact = list(poses.group.exact_elements)
    assert poses.differences[exact].abs().max() < 1e-10 * poses.maps.abs().max()
    assert 0 < poses.differences.abs().max() < 0.5 * poses.maps.abs().max()


def test_class_names_are_no_formulas(tmp_path):
    """Two dollar signs make a formula of a text, and an invalid formula is an error."""
    model, x = network(), torch.rand(1, 28, 28)
    name = r"US$ \frac C$"
    figure = attention_figures.overview(ag.explain(model, x), x, title=name)
    attention_figures.save_figure(figure, tmp_path / "a.png")
    classes = (name,) * 10
    save_turn(full_turn(model, x, 4), tmp_path / "a.gif", name=name, classes=classes)
