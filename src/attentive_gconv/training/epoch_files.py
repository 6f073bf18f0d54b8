"""The files of a finished epoch, and how they are completed after a kill.

`checkpoints/last.ckpt` is written first and makes the epoch finished. The other files are derived from it and written
afterwards: last.safetensors, metrics.csv and, if the epoch is the best so far, best.ckpt and best.safetensors. If the
process is killed in between, `complete_epoch` writes them when the run is resumed.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from attentive_gconv.checkpoints.model_card import ModelCard
from attentive_gconv.checkpoints.run_files import RunFolderError
from attentive_gconv.checkpoints.torch_files import load_data
from attentive_gconv.checkpoints.weights import write_state
from attentive_gconv.files import write_atomically
from attentive_gconv.training.run_folder import RunFolder

# metrics of one epoch by name; None if they were not evaluated after that epoch
Row = dict[str, float | None]
# key of `RunRecorder` in Lightning's checkpoints
RECORDER = "RunRecorder"


@dataclass(frozen=True)
class FinishedEpoch:
    """The last finished epoch, read from last.ckpt.

    Attributes:
        history: one row for each epoch.
        state: state dict of the network that is evaluated and saved.
    """

    history: list[Row]
    state: Mapping[str, Tensor]

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history)


def best_row(history: list[Row], monitored: str | None) -> Row | None:
    """The row of the best epoch: lowest error, ties broken by the loss, then by the earlier epoch.

    Args:
        history: one row for each epoch.
        monitored: the monitored split; None if there is none.

    Returns:
        None if no epoch was evaluated.
    """

    def rank(row: Row) -> list[float]:
        return [float(row[name] or 0) for name in (f"{monitored}_error", f"{monitored}_loss", "epoch")]

    evaluated = [row for row in history if row.get(f"{monitored}_error") is not None]
    return min(evaluated, key=rank, default=None)


def complete_epoch(folder: RunFolder, finished: FinishedEpoch, card: ModelCard, monitored: str | None) -> None:
    """Write the files that are derived from last.ckpt."""
    card = replace(card, epoch=finished.epoch)
    write_state(folder.weights("last"), finished.state, card)
    write_atomically(folder.metrics_file, _table(finished.history).encode())
    if best_row(finished.history, monitored) is finished.history[-1]:
        write_atomically(folder.checkpoint("best"), folder.checkpoint("last").read_bytes())
        write_state(folder.weights("best"), finished.state, card)


def read_finished(folder: RunFolder) -> FinishedEpoch | None:
    """Read the last finished epoch; None if there is none.

    Raises:
        RunFolderError: if last.ckpt is damaged.
    """
    path = folder.checkpoint("last")
    if not path.exists():
        return None
    if not path.is_file():
        raise RunFolderError(f"{path} is not a regular file: start the run again with another --out")
    try:
        content = load_data(path.read_bytes())
        history, state = content["callbacks"][RECORDER]["history"], content["state_dict"]
        prefix = "average." if any(name.startswith("average.") for name in state) else "network."
        kept = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        _check_history(history, int(content["epoch"]) + 1)
    except Exception as error:  # on damaged bytes torch raises a dozen types
        reason = (str(error) or "no message").splitlines()[0]
        raise RunFolderError(
            f"{path} is damaged and cannot be resumed from: start the run again with another --out; "
            f"weights beside it may still be whole ({type(error).__name__}: {reason})"
        ) from error
    return FinishedEpoch(history, kept)


def _check_history(history: list[Row], epochs: int) -> None:
    """Raise unless there is one row for each epoch, all with the same metrics."""
    if len(history) != epochs:
        raise ValueError("its history has another number of epochs than it says")
    columns = history[0].keys()
    losses = {name.replace("_error", "_loss") for name in columns}
    if not {"epoch", "lr", "seconds", *losses} <= columns or any(row.keys() != columns for row in history):
        raise ValueError("its history lacks some metrics")
    if not all(value is None or isinstance(value, int | float) for row in history for value in row.values()):
        raise ValueError("its history holds something other than numbers")


def _table(history: list[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()
