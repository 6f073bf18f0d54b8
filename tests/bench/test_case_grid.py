import pytest

from attentive_gconv.bench import Case, Sweep
from attentive_gconv.bench.case_grid import expand, values

TEMPLATE = Case("p4cnn", padding=1)


def test_every_combination_of_sizes_is_one_comparison_with_the_baseline_first():
    found = Sweep(["full", "none"], "group", "none", batches=[2, 4], groups=["p4", "p4m"], sides=[8, 16]).comparisons(
        TEMPLATE
    )
    assert len(found) == 8
    assert all(comparison.has_baseline for comparison in found)
    assert all([case.name for case in comparison.cases] == ["none", "full"] for comparison in found)
    sizes = {(comparison.cases[1].batch, comparison.cases[1].group, comparison.cases[1].side) for comparison in found}
    assert len(sizes) == 8
    assert {case.padding for comparison in found for case in comparison.cases} == {1}


def test_the_baseline_is_added_where_it_is_not_named():
    (found,) = Sweep(["alpha_p4cnn"], baseline="p4cnn", recompute=[False, True]).comparisons(TEMPLATE)
    assert [case.label() for case in found.cases] == [
        *("p4cnn", "alpha_p4cnn (keep)", "alpha_p4cnn (recompute)"),
    ]


def test_every_form_of_the_convolution_is_a_case_where_there_are_forms():
    (found,) = Sweep(["none"], "group", baseline="conv2d", convs=["expanded", "irreps"]).comparisons(TEMPLATE)
    assert [case.label() for case in found.cases] == ["conv2d", "none (expanded)", "none (irreps)"]


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (Sweep(["x*"]), "no network matches 'x\\*'; `agconv models` lists them"),
        (Sweep(["x*"], "group"), "no layer matches 'x\\*'; there are conv2d, none"),
        (Sweep(["p4cn"]), "unknown model 'p4cn': did you mean 'p4cnn'"),
        (Sweep(["ful"], "lifting"), "unknown layer 'ful'"),
        (Sweep(["p4cnn"], baseline="p5cnn"), "unknown model 'p5cnn'"),
        (Sweep([]), "nothing to measure"),
        (Sweep(["p4cnn"], methods=["definition"]), "full attention, which none of p4cnn has"),
        (Sweep(["alpha_p4cnn"], backends=["cublas"]), "unknown backend 'cublas'"),
    ],
)
def test_what_is_wrong_is_named(sweep, message):
    with pytest.raises(ValueError, match=message):
        sweep.comparisons(TEMPLATE)


def test_patterns_and_lists():
    assert expand(["none", "full*", "none"], "group") == ["none", "full", "full_channel", "full_spatial"]
    assert values(["a, b", "b,c"], "--models", str) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="--batch-sizes '16,many': 'many' is not an integer"):
        values(["16,many"], "--batch-sizes", int)
