"""The tables of docs/explanation/any-angle.md are the figures of benchmarks/results, and the text is true of them."""

import json

import pytest

import any_angle_page

PAGE = any_angle_page.PAGE.read_text(encoding="utf-8")


def results(name: str) -> list[dict]:
    return json.loads((any_angle_page.RESULTS / f"{name}.json").read_text(encoding="utf-8"))["rows"]


@pytest.mark.parametrize("name", any_angle_page.TABLES)
def test_tables_are_those_of_the_results(name):
    start = f"<!-- table: benchmarks/results/{name}.json -->\n"
    assert PAGE.partition(start)[2].partition("\n<!-- end of table -->")[0] == any_angle_page.table(name)


def test_the_librarys_kernels_turn_best():
    errors = {(row["kernel_size"], row["kernels"]): row["errors"] for row in results("filter-bases")}
    for (size, name), found in errors.items():
        for images in ("smooth", "digits", "rough"):
            ahead = (name, images) == ("optimal, not blurred", "smooth") or (size, images) == (3, "smooth")
            if name != "optimal" and not ahead:
                assert errors[size, "optimal"][images] < found[images]


def mean_errors() -> dict[tuple[str, ...], float]:
    rows = results("any-angle")
    return {
        (row.get("library", "ours"), row["group"], row["module"], row["images"]): sum(row["errors"])
        / len(row["errors"])
        for row in rows
    }


@pytest.mark.parametrize("images", ["smooth", "digits"])
def test_layers_are_level_with_escnns_and_finer_groups_better(images):
    errors = mean_errors()
    for group in ("c8", "c16"):
        assert errors["ours", group, "layer", images] < 1.01 * errors["escnn", group, "layer", images]
    for module in ("layer", "network"):
        curves = [errors["ours", group, module, images] for group in ("c16", "c8", "c4")]
        assert curves == sorted(curves)


@pytest.mark.parametrize("images", ["smooth", "digits"])
def test_with_escnns_weights_networks_err_no_more_than_escnns(images):
    errors = mean_errors()
    for group in ("c8", "c16"):
        for module in ("layer", "network"):
            same_weights = errors["ours", group, f"{module} of escnn's weights", images]
            assert same_weights < 1.03 * errors["escnn", group, module, images]


@pytest.mark.parametrize("network", ["p4cnn", "alpha_f_p4cnn", "c8cnn", "alpha_f_c8cnn"])
def test_errors_on_rotated_mnist_are_those_of_the_runs(network):
    path = any_angle_page.RESULTS / "rot-mnist" / "final" / f"{network}-0" / "result.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    assert f"| `{network}` | {result['parameters']:,} | {100 * result['test_error']:.2f} |" in PAGE
