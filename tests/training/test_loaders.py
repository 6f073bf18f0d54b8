import torch

from attentive_gconv.data import InMemoryDataset
from attentive_gconv.training.loaders import EpochSampler
from attentive_gconv.training.seeding import epoch_seed, seed_everything

IMAGES = InMemoryDataset(torch.zeros(11, 1, 2, 2), torch.arange(11))


def order(seed: int, epoch: int, shards: int = 1, shard: int = 0) -> list[int]:
    sampler = EpochSampler(IMAGES, seed, shards, shard)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_an_epoch_sees_every_image_once_in_an_order_of_its_own():
    assert sorted(order(0, 0)) == list(range(11))
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_the_order_depends_on_seed_and_epoch_alone():
    torch.manual_seed(5)
    first = order(3, 7)
    torch.manual_seed(6)
    assert order(3, 7) == first


def test_devices_share_the_images():
    shares = [order(0, 2, 2, shard) for shard in range(2)]
    assert set(shares[0]) | set(shares[1]) == set(range(11))
    assert len(shares[0]) == len(shares[1]) == 6


def test_workers_are_seeded_anew_for_every_epoch():
    sampler = EpochSampler(IMAGES, 0)
    sampler.set_epoch(4)
    first = torch.rand(1, generator=sampler.generator)
    sampler.set_epoch(5)
    other = torch.rand(1, generator=sampler.generator)
    sampler.set_epoch(4)
    assert torch.equal(torch.rand(1, generator=sampler.generator), first)
    assert not torch.equal(other, first)


def test_seeds_of_neighbouring_epochs_runs_and_uses_differ():
    seeds = {epoch_seed(seed, epoch, stream) for seed in range(5) for epoch in range(5) for stream in range(5)}
    assert len(seeds) == 125


def test_seeding_repeats_the_draws():
    seed_everything(4)
    first = torch.rand(3)
    seed_everything(4)
    assert torch.equal(torch.rand(3), first)
