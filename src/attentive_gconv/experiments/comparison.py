"""Two networks compared: paired differences over seeds, and disagreement on single images.

Paired difference: for each seed that both networks have, the difference d of their test errors; with n seeds,

    mean(d) ± t(0.975, n - 1) · std(d) / √n

is the 95 % confidence interval of Student's t. McNemar's test (1947), in its exact binomial form: of the b + c images
that exactly one of two networks recognises, b are recognised by the first; if both were equally good, b would follow
the binomial distribution with n = b + c and probability 1/2. The p-value is two-sided.
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
        differences: of the errors in percentage points, by seed; negative where the network is better.
        mean: their mean.
        interval: its 95 % confidence interval; None for a single seed.
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
        None if they share no seed.

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
    """Images that one of two networks recognises and the other does not.

    Attributes:
        first_only, second_only: how many images only the first, only the second recognises.
        p_value: of McNemar's exact test.
    """

    first_only: int
    second_only: int
    p_value: float


def disagreement(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> Disagreement:
    """Compare two networks image by image.

    Args:
        first: predicted classes and labels, one an image.
        second: likewise, of the same images.

    Raises:
        ValueError: if the images are not the same.

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
    """Predicted classes and labels of a finished run's test images, as its protocol reports them.

    Runs of earlier versions have not kept them: these are evaluated once, and predictions.npz is added to their folder.
    """
    if not run.predictions_file.exists():
        opened = open_model(run.path)
        splits = opened.load_splits()
        figures = evaluate(opened.trained.module, splits.test, splits.classes, rotations=False)
        write_predictions(run.predictions_file, np.array(figures.predicted), splits.test.labels.numpy())
    return read_predictions(run.predictions_file)
