"""Progress of a run: on a terminal a bar for each epoch, and one line after each epoch."""

import lightning as L
from lightning.pytorch.callbacks import Checkpoint, RichProgressBar
from rich.console import Console

from attentive_gconv.training.epoch_files import Row
from attentive_gconv.training.printing import print_plain
from attentive_gconv.training.recorder import RunRecorder


class EpochBar(RichProgressBar):
    """Lightning's progress bar, with epochs counted from 1."""

    def _get_train_description(self, current_epoch: int) -> str:
        return f"epoch {current_epoch + 1}/{self.trainer.max_epochs}"


class EpochLines(Checkpoint):
    """Prints one line for each epoch, as soon as it is recorded.

    It is a checkpoint callback, because Lightning calls those last, in their order, and the recorder is one.
    """

    def __init__(self, console: Console, recorder: RunRecorder) -> None:
        super().__init__()
        self.console = console
        self.recorder = recorder

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the line of the epoch."""
        row = self.recorder.history[-1]
        mark = "  best so far" if row is self.recorder.best else ""
        line = format_row(row, self.recorder.monitored, trainer.max_epochs or 0)
        print_plain(self.console, line + mark)


def format_row(row: Row, monitored: str | None, epochs: int) -> str:
    """One epoch in one line.

    Example:
        >>> row = {"epoch": 3, "train_loss": 0.5, "train_error": 0.125, "valid_loss": 0.25, "valid_error": 0.1,
        ...        "lr": 0.001, "seconds": 6.04}
        >>> format_row(row, "valid", 20)
        'epoch  3/20  train loss 0.5000 error 12.50 %  valid loss 0.2500 error 10.00 %  lr 0.001    6.0 s'
    """
    figures = "  ".join(
        f"{name} loss {row[f'{name}_loss']:.4f} error {row[f'{name}_error']:5.2%}".replace("%", " %")
        for name in ("train", monitored)
        if row.get(f"{name}_error") is not None
    )
    count = f"{int(row['epoch'] or 0):>{len(str(epochs))}}/{epochs}"
    return f"epoch {count}  {figures}  lr {row['lr']:<7g} {row['seconds']:.1f} s"
