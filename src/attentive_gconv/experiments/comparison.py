"""Comparison of two networks: paired differences over seeds, and disagreement image by image.

Paired difference: for each seed that both networks have, the difference d of their test errors; with n seeds,

    mean(d) ± t(0.975, n - 1) · std(d) / √n

is the 95 % confidence interval by Student's t. Disagreement: McNemar's test (1947) in its exact binomial form. Of the
b + c images that only one of the two networks classifies correctly, b are classified correctly by the first; if both
networks were equally good, b would be binomial with n = b + c and probability 1/2. The p-value is two-sided.
"""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from attentive_gconv.checkpoints.opening import open_model
from attentive_gconv.checkpoints.run_files import RunFiles, read_predictions, write_predictions
from attentive_gconv.inference.evaluation import evaluate


@dataclass(frozen=True)
class PairedDifference:
    """Differences of test errors over the seeds that two networks share.

    Attributes:
        differences: differences of the errors in percentage points, by seed; negative where the network is better.
        mean: mean difference.
        interval: 95 % confidence interval of the mean; None for a single seed.
    """

    differences: Mapping[int, float]
    mean: float
    interval: tuple[float, float] | None


def paired_difference(errors: Mapping[int, float], baseline: Mapping[int, float]) -> PairedDifference | None:
    """Compare a network with a baseline, seed by seed.

    Args:
        errors: test errors of the network by seed, as fractions.
        baseline: those of the baseline.

    Returns:
        The paired difference; None if they share no seed.

    Example:
        >>> paired_difference({0: 0.019, 1: 0.020}, {0: 0.021, 1: 0.021, 2: 0.5}).mean
        -0.15
    """
    from scipy.stats import t

    shared = sorted(errors.keys() & baseline.keys())
    if not shared:
        return None
    differences = {seed: 100 * (errors[seed] - baseline[seed]) for seed in shared}
    mean = round(statistics.mean(differences.values()), 12)
    if len(shared) == 1:
        return PairedDifference(differences, mean, None)
    half = t.ppf(0.975, len(shared) - 1) * statistics.stdev(differences.values()) / len(shared) ** 0.5
    return PairedDifference(differences, mean, (mean - float(half), mean + float(half)))


@dataclass(frozen=True)
class Disagreement:
    """Images that only one of two networks classifies correctly.

    Attributes:
        first_only, second_only: number of images that only the first, only the second classifies correctly.
        p_value: p-value of McNemar's exact test.
    """

    first_only: int
    second_only: int
    p_value: float


def disagreement(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> Disagreement:
    """Compare two networks image by image.

    Args:
        first: predicted class and label of every image.
        second: the same for the other network.

    Raises:
        ValueError: if the labels differ, so that the images are not the same.

    Example:
        >>> labels = np.array([0, 1, 1, 0])
        >>> disagreement((np.array([0, 1, 1, 1]), labels), (np.array([0, 0, 0, 1]), labels))
        Disagreement(first_only=2, second_only=0, p_value=0.5)
    """
    from scipy.stats import binomtest

    if not np.array_equal(first[1], second[1]):
        raise ValueError("the predictions are of different test images: their labels differ")
    right = [predicted == labels for predicted, labels in (first, second)]
    b, c = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return Disagreement(b, c, float(binomtest(b, b + c, 0.5).pvalue) if b + c else 1.0)


def predictions_of(run: RunFiles) -> tuple[np.ndarray, np.ndarray]:
    """Predicted class and label of every test image, for the weights that a finished run's protocol reports.

    Runs of earlier versions have no predictions.npz: they are evaluated once, and the file is added to their folder.
    """
    if not run.predictions_file.exists():
        opened = open_model(run.path)
        splits = opened.load_splits()
        figures = evaluate(opened.trained.module, splits.test, splits.classes, rotations=False)
        write_predictions(run.predictions_file, np.array(figures.predicted), splits.test.labels.numpy())
    return read_predictions(run.predictions_file)
