"""Weights taken over by another network: what fits is kept, and what was made anew is said."""

import logging

import pytest
import torch
from torch import nn

import attentive_gconv as ag
from attentive_gconv.checkpoints import transfer_weights


def test_what_fits_is_kept_and_the_rest_named():
    source, model = ag.create_model("alpha_f_p4cnn"), ag.create_model("alpha_f_p4cnn", num_classes=3)
    fresh = model.c7.weight.clone()
    transfer = transfer_weights(model, source)
    assert (transfer.initialised, transfer.adapted, transfer.left_out) == (("c7.weight",), (), ("c7.weight",))
    assert not transfer.complete
    assert torch.equal(model.c7.weight, fresh)
    for name in transfer.kept:
        assert torch.equal(model.state_dict()[name], source.state_dict()[name])
    kept = len(transfer.kept)
    assert str(transfer) == f"kept {kept} of {kept + 1} tensors; newly initialised: c7.weight"
    assert transfer_weights(ag.create_model("alpha_f_p4cnn"), source.state_dict()).complete


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (3, 2), (2, 5)])
def test_a_grey_image_gives_the_same_with_any_number_of_channels(before, after):
    source = ag.create_model("p4cnn", in_channels=before).double().eval()
    model = ag.create_model("p4cnn", in_channels=after).double().eval()
    assert transfer_weights(model, source).adapted == ("c1.weight",)
    assert model.c1.weight.shape[1] == after
    grey = torch.rand(2, 1, 28, 28, dtype=torch.float64)
    given, wanted = (grey.expand(-1, channels, -1, -1) for channels in (after, before))
    torch.testing.assert_close(model(given), source(wanted))


def test_the_kernel_behind_a_published_attention_is_adapted():
    source, model = (ag.create_model("p4cnn", attention="cbam", in_channels=channels) for channels in (1, 3))
    transfer = transfer_weights(model, source)
    assert transfer.adapted == ("c1.convolution.weight",)
    assert all(name.startswith("c1.attention") for name in transfer.initialised)


def test_nothing_in_common_is_an_error_and_changes_nothing():
    model = nn.Linear(2, 3)
    before = model.weight.clone()
    with pytest.raises(ValueError, match="no weights fit Linear: none has the same name and shape"):
        transfer_weights(model, ag.create_model("p4cnn"))
    assert torch.equal(model.weight, before)


def test_pretrained_with_other_classes_and_channels_says_what_was_initialised(caplog):
    trained = ag.create_model("p4cnn", pretrained=True)
    assert not caplog.records
    model = ag.create_model("p4cnn", pretrained=True, num_classes=3, in_channels=3)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("attentive_gconv", logging.WARNING)
    assert record.getMessage() == (
        "pretrained weights of p4cnn: kept 35 of 37 tensors; adapted: c1.weight; newly initialised: c7.weight"
    )
    assert not model.training
    grey = torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        features = [
            network.forward_features(x) for network, x in ((trained, grey), (model, grey.expand(-1, 3, -1, -1)))
        ]
    torch.testing.assert_close(*features, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ag.list_pretrained())
def test_pretrained_features(name):
    images = torch.randn(2, 1, 28, 28)
    trained = ag.create_model(name, pretrained=True)
    with torch.no_grad():
        pooled = ag.create_model(name, pretrained=True, num_classes=0)(images)
        maps = ag.create_model(name, pretrained=True, features_only=True)(images)
        assert torch.equal(trained.forward_head(trained.forward_features(images), pre_logits=True), pooled)
        assert torch.equal(maps[-1], trained.forward_features(images))


@pytest.mark.parametrize("options", [{"channels": 4}, {"group": "p4m"}, {"attention": "full"}])
def test_pretrained_weights_of_another_network_are_refused(options):
    with pytest.raises(ValueError, match="the pretrained weights of 'p4cnn' do not fit the options"):
        ag.create_model("p4cnn", pretrained=True, **options)
