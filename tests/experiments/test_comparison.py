"""Paired differences and disagreement, against scipy and by hand."""

from math import comb

import numpy as np
import pytest
from scipy import stats

from attentive_gconv.checkpoints.run_files import RunFiles, RunFolderError, read_predictions, write_predictions
from attentive_gconv.experiments.comparison import disagreement, paired_difference, predictions_of
from attentive_gconv.experiments.run_table import Table
from attentive_gconv.training import train
from tiny import tiny_config


def test_the_interval_is_that_of_a_paired_t_test():
    ours, base = {0: 0.020, 1: 0.018, 2: 0.019, 7: 0.3}, {0: 0.021, 1: 0.0185, 2: 0.0215, 5: 0.1}
    found = paired_difference(ours, base)
    assert list(found.differences) == [0, 1, 2]
    test = stats.ttest_rel([100 * ours[seed] for seed in range(3)], [100 * base[seed] for seed in range(3)])
    assert found.interval == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert found.mean == pytest.approx(sum(100 * (ours[s] - base[s]) for s in range(3)) / 3)
    assert paired_difference({0: 0.02}, {0: 0.03}).interval is None
    assert paired_difference({0: 0.02}, {1: 0.03}) is None


def test_mcnemars_test_is_the_binomial_one():
    labels = np.zeros(20, dtype=np.int64)
    first, second = labels.copy(), labels.copy()
    second[:9] = 1  # recognised by the first alone
    first[9:11] = 1  # by the second alone
    first[15] = second[15] = 1  # by neither
    found = disagreement((first, labels), (second, labels))
    assert (found.first_only, found.second_only) == (9, 2)
    assert found.p_value == pytest.approx(2 * sum(comb(11, k) for k in range(3)) / 2**11)
    assert disagreement((first, labels), (first, labels)).p_value == 1
    with pytest.raises(ValueError, match="different test images"):
        disagreement((first, labels), (second, labels + 1))


def test_predictions_of_a_run_are_kept_and_otherwise_made_once(tiny, tmp_path):
    result = train(tiny_config(epochs=1), tmp_path / "run")
    run = RunFiles(tmp_path / "run")
    predicted, labels = predictions_of(run)
    assert labels.tolist() == [0, 1, 2] * 6
    assert (predicted != labels).mean() == result.test_error
    kept = run.predictions_file.read_bytes()
    run.predictions_file.unlink()
    assert all(map(np.array_equal, predictions_of(run), (predicted, labels)))
    assert run.predictions_file.exists()
    run.predictions_file.write_bytes(kept)
    tiny.journal.clear()
    predictions_of(run)
    assert tiny.journal == []


def test_no_flipped_bit_changes_the_predictions(tmp_path):
    path, predicted, labels = tmp_path / "p.npz", np.arange(50) % 7, np.arange(50) % 10
    write_predictions(path, predicted, labels)
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), 7):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            found = read_predictions(path)
        except RunFolderError:
            continue
        assert all(map(np.array_equal, found, (predicted, labels)))


def test_a_table_shows_both(tmp_path):
    labels = np.zeros(10, dtype=np.int64)
    pairs = (("a", "b"), ("c", "b"), ("c", "d"))
    table = Table("digits", "final", "1 epoch", ("a", "b", "c", "d"), 2, baseline="a", pairs=pairs)
    for model, errors in (("a", (0.2, 0.3)), ("b", (0.1, 0.1)), ("c", (0.3,))):
        for seed, error in enumerate(errors):
            run = RunFiles(tmp_path / f"{model}{seed}")
            predicted = labels.copy()
            predicted[: round(10 * error)] = 1
            write_predictions(run.predictions_file, predicted, labels)
            result = {"dataset": "digits", "protocol": "final", "model": model, "seed": seed, "parameters": 1}
            table.add({**result, "test_error": error, "test_images": 10, "best_test": None, "epochs": 1}, "digits", run)
    text = table.markdown()
    heading = "\n\n| network | mean difference, points | 95 % interval | seed: difference |\n|---|---|---|---|\n"
    to_a = "| `b` | -15.00 | -78.53 to +48.53 | 0: -10.00, 1: -20.00 |\n| `c` | +10.00 | – | 0: +10.00 |\n\n"
    assert f"## Test error less that of `a`, seed by seed{heading}{to_a}" in text
    assert f"## Test error less that of `c`, seed by seed{heading}| `b` | -20.00 | – | 0: -20.00 |\n\n" in text
    assert "| `a`, `b` | 0 | 0 | 1 | 1 |" in text
    assert "| `a`, `b` | 1 | 0 | 2 | 0.5 |" in text
    assert "`d`" not in text
