import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from attentive_gconv.checkpoints.weights import (
    METADATA_KEY,
    ModelCard,
    WeightsError,
    load_weights,
    save_weights,
    weights_digest,
)
from attentive_gconv.settings import ConfigError

CARD = ModelCard(
    model="p4cnn",
    options={"channels": 2},
    classes=("a", "b", "c"),
    image_shape=(1, 28, 28),
    mean=(0.1,),
    std=(0.3,),
    dataset="digits",
    source="embedded",
    dataset_seed=0,
    protocol="validation",
    epoch=4,
    transposed=False,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    save_weights(path, CARD.build(), CARD)
    return path


def rewrite(path: Path, change) -> None:
    """Save the same network with metadata changed."""
    trained = load_weights(path)
    content = {**json.loads(json.dumps(trained.card.__dict__))}
    change(content)
    save_file(dict(trained.module.state_dict()), path, metadata={METADATA_KEY: json.dumps(content)})


def test_a_network_survives_being_saved(path):
    network = CARD.build()
    network.train()
    network(torch.randn(4, 1, 28, 28))  # batch statistics, too
    save_weights(path, network, CARD)
    trained = load_weights(path)
    assert trained.card == CARD
    assert not trained.module.training
    images = torch.randn(2, 1, 28, 28)
    assert torch.equal(trained.module(images), network.eval()(images))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        load_weights(tmp_path / "none.safetensors")


@pytest.mark.parametrize("damage", [lambda b: b[:-10], lambda b: b[:4], lambda b: b"", lambda b: b"\xff" * 64])
def test_a_damaged_file_is_refused(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(WeightsError, match=r"w\.safetensors is not a whole safetensors file"):
        load_weights(path)


def test_a_foreign_file_is_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(WeightsError, match="does not say which network it holds"):
        load_weights(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.pop("mean"), "its metadata must hold .*mean"),
        (lambda card: card.update(more=1), "its metadata must hold"),
        (lambda card: card.update(epoch="x"), r"epoch \(='x'\) must be a whole number"),
        (lambda card: card.update(std=[0.0]), "std .*must be positive"),
        (lambda card: card.update(mean=[0.0, 1.0]), "mean .*must hold 1 numbers"),
        (lambda card: card.update(classes=["a"]), "at least two"),
        (lambda card: card.update(image_shape=[1, 28]), "image_shape"),
        (lambda card: card.update(image_shape=[1, 28, 10**6]), "image_shape"),
        (lambda card: card["options"].update(num_classes=20), r"options\.num_classes \(=20\) contradicts the card"),
        (lambda card: card["options"].update(in_channels=3), r"options\.in_channels \(=3\) contradicts the card"),
        (lambda card: card.update(model="p4cn"), "names a network that cannot be built.*p4cnn"),
        (lambda card: card.update(options={"channels": "many"}), "cannot be built"),
        (lambda card: card.update(model="z2cnn"), "does not fit z2cnn"),
    ],
)
def test_metadata_that_describe_another_network_are_refused(path, change, message):
    rewrite(path, change)
    with pytest.raises(WeightsError, match=message):
        load_weights(path)


def test_metadata_that_are_no_json_are_refused(path):
    save_file({"a": torch.zeros(2)}, path, metadata={METADATA_KEY: "{"})
    with pytest.raises(WeightsError, match="describes no network"):
        load_weights(path)


def test_a_digest_of_weights_that_require_gradients(path):
    weight = torch.nn.Parameter(torch.ones(2))
    assert weights_digest("", {"a": weight}) == weights_digest("", {"a": torch.ones(2)})


def test_sizes_are_compared_before_memory_is_taken(path):
    # this network would need terabytes
    rewrite(path, lambda card: card.update(options={"channels": 200_000}))
    with pytest.raises(WeightsError, match=r"has shape .*, the model needs"):
        load_weights(path)


def test_missing_and_left_over_weights_are_named(path):
    state = dict(load_weights(path).module.state_dict())
    state["extra"] = state.pop("c1.weight")
    save_file(state, path, metadata={METADATA_KEY: json.dumps(CARD.__dict__)})
    with pytest.raises(WeightsError, match=r"missing: c1\.weight; left over: extra"):
        load_weights(path)


def test_a_network_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match=r"model\.name=p4cn cannot be made"):
        replace(CARD, model="p4cn").build()


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_no_flipped_bit_gives_another_network(path):
    """Before there was a digest, half of them passed."""
    whole, trained = path.read_bytes(), load_weights(path)
    state = trained.module.state_dict()
    refused = 0
    for bit in torch.randint(8 * len(whole), (150,), generator=torch.Generator().manual_seed(0)).tolist():
        path.write_bytes(flipped(whole, bit))
        try:
            other = load_weights(path)
        except WeightsError:
            refused += 1
        else:
            assert other.card == trained.card
            assert all(torch.equal(value, state[name]) for name, value in other.module.state_dict().items())
    assert refused > 140


def test_weights_of_before_the_digest_still_load(path):
    trained = load_weights(path)
    rewrite(path, lambda card: None)
    assert load_weights(path).card == trained.card


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(path, value):
    network = CARD.build()
    with torch.no_grad():
        network.c1.weight[0, 0, 0, 0] = value
    save_weights(path, network, CARD)
    with pytest.raises(WeightsError, match=r"c1\.weight holds values that are not finite; train it again"):
        load_weights(path)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int32, torch.bool])
def test_dtypes_that_weights_do_not_have_are_refused(path, dtype):
    state = dict(load_weights(path).module.state_dict())
    state["c1.weight"] = state["c1.weight"].to(dtype)
    save_file(state, path, metadata={METADATA_KEY: json.dumps(CARD.__dict__)})
    with pytest.raises(WeightsError, match=rf"c1\.weight is of {str(dtype).removeprefix('torch.')}"):
        load_weights(path)
    state["c1.weight"] = state["c1.weight"].to(torch.float16)
    save_file(state, path, metadata={METADATA_KEY: json.dumps(CARD.__dict__)})
    with pytest.raises(WeightsError, match=r"of several dtypes, torch\.float16, torch\.float32"):
        load_weights(path)


def test_the_state_of_a_training_is_no_file_of_weights(path, tmp_path):
    (tmp_path / "w.ckpt").write_bytes(b"PK")
    with pytest.raises(WeightsError, match=r"w\.ckpt is the state of a training.*: take .*w\.safetensors"):
        load_weights(tmp_path / "w.ckpt")


def test_a_network_that_does_not_fit_into_memory_is_refused():
    with pytest.raises(ConfigError, match=r"its weights need [\d,]+ GB of memory and this machine has"):
        replace(CARD, options={"channels": 200_000}).build()
    needed = sum(tensor.nbytes for tensor in CARD.build().state_dict().values())
    with pytest.raises(ConfigError, match="GB of memory"):
        CARD.build(copies=2**50 // needed)
