import sys

import pytest

from attentive_gconv.bench import Case, Figure
from growth import exponent, plot, sentences, series


def figures() -> list[Figure]:
    found = []
    for batch in (32, 8, 16):
        case = Case("alpha_p4cnn", batch=batch)
        found += [Figure(case, "train", samples=[batch * 0.01]), Figure(case, "memory", unit="B", samples=[batch**2])]
    return [*found, Figure(Case("alpha_p4cnn", batch=64), "train", error="killed")]


def test_exponents_are_those_of_power_laws():
    assert exponent([8, 16, 64], [3 * n**1.5 for n in (8, 16, 64)]) == pytest.approx(1.5)
    with pytest.raises(ValueError, match="at least two different sizes"):
        exponent([8, 8], [1.0, 2.0])


def test_series_are_in_order_and_leave_failures_out():
    assert series(figures(), "train", "batch") == {"alpha_p4cnn": ([8, 16, 32], [0.08, 0.16, 0.32])}
    assert sentences(figures(), "batch") == [
        "alpha_p4cnn: time grows with exponent 1.00 from 8 to 32 images a batch.",
        "alpha_p4cnn: memory grows with exponent 2.00 from 8 to 32 images a batch.",
    ]


def test_axes_of_layers():
    layer = Figure(Case("full", "group", side=9, channels=5), "train", samples=[1.0])
    assert series([layer], "train", "pixels") == {"full": ([81], [1.0])}
    assert series([layer], "train", "channels") == {"full": ([5], [1.0])}


def test_the_plot_is_a_small_image_and_the_same_each_time(tmp_path):
    for name in ("one.png", "two.png"):
        plot(figures(), "batch", "Growth", tmp_path / name)
    content = (tmp_path / "one.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < 100_000
    assert content == (tmp_path / "two.png").read_bytes()


def test_without_matplotlib_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'attentive-gconv\[train\]'"):
        plot(figures(), "batch", "Growth", tmp_path / "a.png")
