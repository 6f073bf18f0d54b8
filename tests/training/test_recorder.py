import pytest

from attentive_gconv.training.recorder import RunRecorder
from attentive_gconv.training.run_folder import RunFolder


def recorder(tmp_path, figures: list[tuple[float, float]]) -> RunRecorder:
    made = RunRecorder(RunFolder(tmp_path), card=None, monitored="valid")
    rows = [
        {"epoch": epoch, "valid_error": error, "valid_loss": loss}
        for epoch, (error, loss) in enumerate(figures, start=1)
    ]
    made.load_state_dict({"history": rows})
    return made


@pytest.mark.parametrize(
    ("figures", "best"),
    [
        ([(0.2, 1.0), (0.1, 2.0), (0.3, 0.5)], 2),
        ([(0.1, 1.0), (0.1, 0.5), (0.1, 0.7)], 2),
        ([(0.1, 0.5), (0.1, 0.5)], 1),
    ],
    ids=["error", "loss among equals", "earliest among equals"],
)
def test_the_best_epoch(tmp_path, figures, best):
    assert recorder(tmp_path, figures).best["epoch"] == best


def test_the_history_survives_a_checkpoint(tmp_path):
    first = recorder(tmp_path, [(0.2, 1.0), (0.1, 2.0)])
    second = recorder(tmp_path, [])
    second.load_state_dict(first.state_dict())
    assert second.history == first.history
