"""The result of a finished run: the test error of the weights that its protocol reports."""

import statistics
from dataclasses import dataclass

import numpy as np
import torch

from attentive_gconv.checkpoints.run_files import write_predictions
from attentive_gconv.checkpoints.weights import load_weights
from attentive_gconv.data import DataSplits
from attentive_gconv.inference.evaluation import Evaluation, evaluate
from attentive_gconv.training.config import TrainConfig
from attentive_gconv.training.epoch_files import Row, best_row
from attentive_gconv.training.run_folder import RunFolder

SELECTION = {
    "validation": "lowest error on the validation set; tested once, with these weights",
    "final": "last epoch; nothing is held out, nothing is chosen, the test set is used once",
    "paper": "last epoch; `best_test` is selected on the test set, as the authors did",
}


# the split evaluated during training
MONITORED: dict[str, str | None] = {"validation": "valid", "final": None, "paper": "test"}


@dataclass(frozen=True)
class TrainResult:
    """Result of a finished run, the content of result.json. Errors are fractions of 1.

    Attributes:
        dataset, model, protocol, seed: as in the run's settings.
        parameters: number of the network's parameters.
        selection: how the reported epoch was selected, in words.
        epochs: number of finished epochs.
        test_images: number of test images.
        test_error: error of the weights that the protocol reports: the best epoch's (``"validation"``) or the last
            epoch's (``"final"`` and ``"paper"``).
        best_epoch: the epoch with the lowest error on the validation set (``"paper"``: on the test set); None under
            the ``"final"`` protocol.
        valid_error: that lowest error on the validation set; None under the other protocols.
        best_test: under the ``"paper"`` protocol, epoch and test error of the best epoch, selected on the test set.
        seconds_per_epoch: median time of training and evaluation.
    """

    dataset: str
    model: str
    parameters: int
    protocol: str
    selection: str
    seed: int
    epochs: int
    test_images: int
    test_error: float
    best_epoch: int | None
    valid_error: float | None
    best_test: dict[str, float] | None
    seconds_per_epoch: float


def measure_result(
    folder: RunFolder,
    config: TrainConfig,
    splits: DataSplits,
    history: list[Row],
    device: torch.device,
) -> TrainResult:
    """Evaluate the weights that the protocol reports on the test set, and save their predictions.

    Args:
        folder: the run folder; its predictions.npz is written.
        config: the run's settings.
        splits: the run's dataset.
        history: one row for each epoch.
        device: device of the evaluation.
    """

    def test(which: str) -> Evaluation:
        dtype = torch.float64 if config.precision == "64-true" else torch.float32
        module = load_weights(folder.weights(which)).module
        return evaluate(
            module,
            splits.test,
            splits.classes,
            rotations=False,
            workers=config.workers,
            dtype=dtype,
            device=device,
        )

    best, protocol = best_row(history, MONITORED[config.protocol]), config.protocol
    final = test("best" if protocol == "validation" else "last")
    write_predictions(folder.predictions_file, np.array(final.predicted), splits.test.labels.numpy())
    best_test = None
    if best is not None and protocol == "paper":
        best_test = {"epoch": int(best["epoch"] or 0), "test_error": test("best").error}
    parameters = load_weights(folder.weights("last")).module.parameters()
    return TrainResult(
        dataset=splits.name,
        model=config.model.name,
        parameters=sum(parameter.numel() for parameter in parameters),
        protocol=protocol,
        selection=SELECTION[protocol],
        seed=config.seed,
        epochs=len(history),
        test_images=final.images,
        test_error=final.error,
        best_epoch=None if best is None else int(best["epoch"] or 0),
        valid_error=best["valid_error"] if best is not None and protocol == "validation" else None,
        best_test=best_test,
        seconds_per_epoch=statistics.median(row["seconds"] or 0 for row in history),
    )
