import pytest
import torch

import attentive_gconv as ag
from attentive_gconv.checkpoints import ModelCard, TrainedModel
from attentive_gconv.data import load_dataset
from networks import randomise_norms_


@pytest.fixture(scope="package")
def trained() -> TrainedModel:
    """A network with weights that nobody trained, and a card."""
    torch.manual_seed(3)
    card = ModelCard.of(load_dataset("digits"), seed=0, model="p4cnn", options={"channels": 4})
    network = ag.create_model("p4cnn", channels=4)
    return TrainedModel(randomise_norms_(network, torch.randn(16, 1, 28, 28)), card)
