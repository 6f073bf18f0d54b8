import lightning as L
import pytest
import torch
from torch import nn

from attentive_gconv.data import InMemoryDataset
from attentive_gconv.training.loaders import RunData
from attentive_gconv.training.module import Classifier
from attentive_gconv.training.quiet import contained_lightning
from tiny import tiny_config


def trained(folder, *, batch_size: int, accumulate: int) -> nn.Module:
    """A linear network after two epochs of 22 images."""
    config = tiny_config(
        batch_size=batch_size, accumulate=accumulate, optimizer={"name": "sgd", "lr": 0.5, "momentum": 0.9}
    )
    images = InMemoryDataset(torch.randn(22, 1, 3, 3, generator=torch.Generator().manual_seed(1)), torch.arange(22) % 3)
    torch.manual_seed(2)
    network = nn.Sequential(nn.Flatten(), nn.Linear(9, 3)).double()
    data = RunData(images, images, batch_size=batch_size, shares=config.shares, workers=0, seed=0)
    with contained_lightning():
        trainer = L.Trainer(
            accelerator="cpu",
            precision="64-true",
            max_epochs=2,
            accumulate_grad_batches=accumulate,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )
        trainer.fit(Classifier(network, 3, config, config.steps(len(data.train)), "valid"), datamodule=data)
    return network


@pytest.mark.parametrize("accumulate", [2, 4])
def test_a_batch_in_parts_gives_the_step_of_the_whole(tmp_path, accumulate):
    """8, 8 and 6 images: the last batch has fewer parts, and its last part fewer images."""
    whole = trained(tmp_path, batch_size=8, accumulate=1)
    parts = trained(tmp_path, batch_size=8, accumulate=accumulate)
    other = trained(tmp_path, batch_size=8 // accumulate, accumulate=1)
    for name, value in whole.named_parameters():
        torch.testing.assert_close(parts.get_parameter(name), value, rtol=1e-12, atol=1e-12)
        assert not torch.allclose(other.get_parameter(name), value, rtol=1e-3)
