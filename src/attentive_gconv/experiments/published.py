"""The figures that the paper publishes, for the column beside one's own.

Source: Romero et al., ICML 2020, https://arxiv.org/abs/2002.03830. Errors in per cent. On rot-MNIST they are the mean
and standard deviation of five seeds, on CIFAR-10 and PCam single figures.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A figure of the paper.

    Attributes:
        error: in per cent.
        std: over the seeds, where it is given.
        note: what has to be known before one's own figure is set beside it.
    """

    error: float
    std: float | None = None
    note: str | None = None


RECALLED = "recalled, not checked against the paper again"
UNPROVEN = (
    "unproven: the authors' checkpoint and log behind it hold no attention parameters; they are those of the plain "
    "p4m-DenseNet"
)

# the epochs and the choice among them, for each dataset
HOW = {
    "rot-mnist": "trained on all 12,000 images, the epoch chosen on the test set; five seeds",
    "cifar10": "trained on all 50,000 images without augmentation, the epoch chosen on the test set; one figure each",
    "pcam": "official split; one figure each",
}

PUBLISHED: dict[str, dict[str, Published]] = {
    "rot-mnist": {
        "p4cnn": Published(2.048, 0.045),
        "big11_p4cnn": Published(1.996, note=RECALLED),
        "big15_p4cnn": Published(1.845, note=RECALLED),
        "big19_p4cnn": Published(1.796, note=RECALLED),
        "alpha_p4cnn": Published(1.696, 0.021),
        "alpha_ch_p4cnn": Published(1.825, note=RECALLED),
        "alpha_sp_p4cnn": Published(1.761, note=RECALLED),
        "alpha_f_p4cnn": Published(1.795, 0.028),
    },
    "cifar10": {
        "p4_allcnnc": Published(9.32),
        "alpha_f_p4_allcnnc": Published(8.8),
        "p4m_allcnnc": Published(7.61),
        "alpha_f_p4m_allcnnc": Published(6.93),
        "p4m_resnet44": Published(15.72),
        "alpha_f_p4m_resnet44": Published(10.82),
    },
    "pcam": {
        "p4_densenet": Published(12.45),
        "alpha_f_p4_densenet": Published(11.34),
        "p4m_densenet": Published(11.64),
        "alpha_f_p4m_densenet": Published(10.88, note=UNPROVEN),
    },
}
