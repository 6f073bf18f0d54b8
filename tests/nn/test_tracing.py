"""`torch.jit.trace`, which TensorBoard's graphs use: the same values for every batch, and no complaint of its check."""

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

import attentive_gconv as ag
from attentive_gconv.models.blocks import ATTENTION, convolution

pytestmark = [
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning"),
    pytest.mark.filterwarnings("ignore:under transforms of torch.func.*full attention:RuntimeWarning"),
]


class Network(nn.Module):
    """Two layers with a kind of attention, a norm, dropout and pools."""

    def __init__(self, group: str, kind: str) -> None:
        super().__init__()
        found = ag.group(group)
        self.first = convolution(found, 2, 4, 3, attention=kind, lifting=True, padding=1)
        self.norm, self.pool = ag.nn.GroupBatchNorm2d(4), ag.nn.SpatialMaxPool2d(2)
        self.dropout, self.last = ag.nn.Dropout(0.0), convolution(found, 4, 3, 3, attention=kind)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.last(self.dropout(self.pool(self.norm(self.first(x)).relu()))).mean((-3, -2, -1))


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("kind", ATTENTION)
def test_a_trace_is_right_for_every_batch(kind, train):
    model = Network("p4", kind).double().train(train)
    traced = torch.jit.trace(model, torch.randn(3, 2, 12, 12, dtype=torch.float64))
    for batch in (2, 3, 5):
        images = torch.randn(batch, 2, 12, 12, dtype=torch.float64)
        torch.testing.assert_close(traced(images), model(images))


@pytest.mark.parametrize("kind", ["none", "full", "input"])
def test_the_graph_of_tensorboard(kind, tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_graph(Network("p4m", kind), torch.randn(2, 2, 12, 12))
    (file,) = tmp_path.iterdir()
    assert b"first" in file.read_bytes()


class Training(L.LightningModule):
    """A user's own training of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network("p4", "full")
        self.example_input_array = torch.randn(2, 2, 12, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.network(x)

    def training_step(self, batch: torch.Tensor, _: int) -> torch.Tensor:
        """A loss."""
        return self(batch).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain gradient descent."""
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")  # of Lightning: few workers, few batches
def test_lightning_writes_the_graph_and_trains(tmp_path):
    logger = TensorBoardLogger(tmp_path, log_graph=True)
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=2,
        logger=logger,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    training = Training()
    before = training.network.first.weight.clone()
    trainer.fit(training, DataLoader(torch.randn(7, 2, 12, 12), batch_size=3))
    assert trainer.global_step == 2
    assert not torch.equal(training.network.first.weight, before)
    assert any(b"AttentiveLiftingConv2d[first]" in file.read_bytes() for file in tmp_path.rglob("events.*"))
