import json

import attentive_gconv as ag


def test_all_networks_are_listed_with_what_is_known_of_them(agconv):
    rows = json.loads(agconv("models", "--json").stdout)
    assert [row["name"] for row in rows] == ag.list_models()
    row = next(row for row in rows if row["name"] == "alpha_f_p4cnn")
    assert (row["group"], row["parameters"], row["input"], row["classes"]) == ("p4", 29462, [1, 28, 28], 10)


def test_a_pattern_chooses(agconv):
    rows = json.loads(agconv("models", "big*", "--json").stdout)
    assert {row["name"] for row in rows} == {"big11_p4cnn", "big15_p4cnn", "big19_p4cnn"}


def test_the_table_shows_groups_and_parameters(agconv):
    printed = agconv("models", "z2cnn").stdout
    assert printed.splitlines()[1].split()[:3] == ["z2cnn", "z2", "21,620"]


def test_a_pattern_that_matches_nothing_is_an_error(agconv):
    result = agconv("models", "x*")
    assert result.exit_code == 1
    assert "no network matches 'x*'" in result.stderr
