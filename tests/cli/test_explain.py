import numpy as np
import pytest
import torch
from PIL import Image

import attentive_gconv as ag
from attentive_gconv.checkpoints import open_model
from attentive_gconv.cli.explain import distinct_names
from attentive_gconv.inference import read_image


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "digit.png"
    Image.radial_gradient("L").resize((28, 28)).rotate(20, fillcolor=0).crop((0, 3, 28, 25)).save(path)
    return path


def load(path):
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def test_a_run_is_explained(agconv, run, image, tmp_path):
    out = tmp_path / "out"
    result = agconv("explain", run, image, "--out", out, "--steps", 4)
    assert result.exit_code == 0, result.stderr
    names = ["overview.png", "layers.png", "rotations.png", "turn.gif", "maps.npz"]
    assert result.stdout.split() == [str(out / f"digit-{name}") for name in names]
    assert {path.name for path in out.iterdir()} == {f"digit-{name}" for name in names}
    maps = load(out / "digit-maps.npz")
    trained = open_model(run).trained
    explanation = ag.explain(trained.module, read_image(image, trained.card))
    np.testing.assert_allclose(maps["poses"], explanation.poses, rtol=1e-5)
    for name in names[:4]:
        with Image.open(out / f"digit-{name}") as figure:
            assert min(figure.size) > 100
    with Image.open(out / "digit-turn.gif") as turn:
        assert turn.n_frames == 4


def test_options(agconv, run, image, tmp_path):
    out = tmp_path / "out"
    options = ("--format", "svg", "--no-animation", "--kind", "activation", "--reduction", "max", "--invert")
    result = agconv("explain", run, image, "--out", out, *options)
    assert result.exit_code == 0, result.stderr
    assert {path.suffix for path in out.iterdir()} == {".svg", ".npz"}
    trained = open_model(run).trained
    pixels = read_image(image, trained.card, invert=True)
    expected = ag.explain(trained.module, pixels, kind="activation", reduction="max").poses
    np.testing.assert_allclose(load(out / "digit-maps.npz")["poses"], expected, rtol=1e-5)
    again = agconv("explain", run, image, "--out", out, "--no-animation", "--kind", "attention")
    assert "has no attention" in again.stderr
    assert again.exit_code == 1


def test_the_pose_and_the_fit_are_the_ones_asked_for(agconv, untrained, image, tmp_path):
    weights, out = untrained("alpha_p4cnn"), tmp_path / "out"
    result = agconv("explain", weights, image, "--pose", "output", "--fit", "crop", "--no-animation", "--out", out)
    assert result.exit_code == 0, result.stderr
    found, trained = load(out / "digit-maps.npz")["poses"], open_model(weights).trained
    expected = {
        (pose, fit): ag.explain(trained.module, read_image(image, trained.card, fit=fit), pose=pose).poses
        for pose in ("input", "output")
        for fit in ("pad", "crop")
    }
    same = {how: np.allclose(found, poses, rtol=1e-4, atol=0) for how, poses in expected.items()}
    assert [how for how in same if same[how]] == [("output", "crop")]


def test_a_pose_without_maps_of_full_attention_is_refused(agconv, untrained, image, tmp_path):
    out = ("--no-animation", "--out", tmp_path / "out")
    for target, more in ((untrained("alpha_f_p4cnn"), ()), (untrained("alpha_p4cnn"), ("--kind", "activation"))):
        result = agconv("explain", target, image, "--pose", "input", *more, *out)
        assert result.exit_code == 1
        assert "--pose input is for maps of full attention between poses" in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_authors_checkpoint(agconv, tiny, image, tmp_path):
    path = tmp_path / "alpha.pth"
    state = ag.create_model("alpha_f_p4cnn").state_dict()
    torch.save({key.replace(".attention.", "."): value for key, value in state.items()}, path)
    named = ("--model", "alpha_f_p4cnn", "--dataset", "digits", "--no-animation")
    result = agconv("explain", path, image, "--out", tmp_path / "out", *named)
    assert result.exit_code == 0, result.stderr
    assert "layer:c1.attention" in load(tmp_path / "out" / "digit-maps.npz")


def test_a_broken_image_is_named_and_the_others_are_explained(agconv, run, image, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    result = agconv("explain", run, broken, image, "--out", tmp_path / "out", "--no-animation")
    assert result.exit_code == 1
    assert f"{broken}: this is no PNG or JPEG image" in result.stderr
    assert (tmp_path / "out" / "digit-maps.npz").exists()


def test_bad_arguments_are_found_before_anything_is_written(agconv, run, image, tmp_path):
    assert agconv("explain", run).exit_code == 2
    assert agconv("explain", run, image, "--steps", 3).exit_code == 2
    assert "--steps 8 has no meaning" in agconv("explain", run, image, "--no-animation", "--steps", 8).stderr
    result = agconv("explain", run, image, "--out", image)
    assert result.exit_code == 1
    assert "is a file" in result.stderr
    assert agconv("explain", tmp_path / "nothing", image, "--out", tmp_path / "out").exit_code == 1
    assert not (tmp_path / "out").exists()


def test_images_of_the_same_name_do_not_overwrite_each_other(tmp_path):
    paths = [tmp_path / name for name in ("a/x.png", "b/x.png", "b/x-2.png", "c/x.jpg")]
    assert distinct_names(paths) == ["x", "x-3", "x-2", "x-4"]
