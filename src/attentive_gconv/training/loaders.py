"""Data loaders of a run: reproducible shuffling, and shards for several devices."""

import lightning as L
import torch
from torch.utils.data import DataLoader, DistributedSampler, Subset

from attentive_gconv.data import LabelledDataset
from attentive_gconv.training.seeding import epoch_seed

# stream of random numbers for augmentation; 1 and 2 are for the order and the workers, from 3 on for the devices
_AUGMENTATION = 0


class EpochSampler(DistributedSampler):
    """Order of the training images and seed of their augmentation, determined by the run's seed and the epoch alone.

    `generator` is for the `DataLoader`, which seeds its workers from it; it is seeded by the epoch as well.
    """

    def __init__(self, dataset: LabelledDataset, seed: int, shards: int = 1, shard: int = 0) -> None:
        # DistributedSampler adds the epoch to its seed: runs with seeds 0 and 1 would share orders
        super().__init__(dataset, num_replicas=shards, rank=shard, shuffle=True, seed=epoch_seed(seed, 0, 1))
        self.images = dataset
        self.run_seed = seed
        self.generator = torch.Generator()
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that determines order and augmentation."""
        super().set_epoch(epoch)
        # the same on every device: augmentation belongs to the image, wherever it is read
        self.images.draw_from(epoch_seed(self.run_seed, epoch, _AUGMENTATION))
        self.generator.manual_seed(epoch_seed(self.run_seed, epoch, 2))


class RunData(L.LightningDataModule):
    """The training set and the monitored split, and no other images.

    Args:
        train: the training set.
        monitored: the split evaluated during training; None for none.
        batch_size: batch size over all devices together.
        shares: number of micro-batches that a batch is split into, over all devices.
        workers: number of worker processes that load images, for each device.
        seed: the run's seed.
    """

    def __init__(
        self,
        train: LabelledDataset,
        monitored: LabelledDataset | None,
        *,
        batch_size: int,
        workers: int,
        seed: int,
        shares: int = 1,
    ) -> None:
        super().__init__()
        self.train = train
        self.monitored = monitored
        self.batch_size = batch_size
        self.shares = shares
        self.workers = workers
        self.seed = seed

    def train_dataloader(self) -> DataLoader:
        """This device's share of the training images, in another order every epoch."""
        assert self.trainer is not None
        sampler = EpochSampler(self.train, self.seed, self.trainer.world_size, self.trainer.global_rank)
        # workers fetch ahead as soon as they exist, which is before Lightning tells the sampler its epoch
        sampler.set_epoch(self.trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]
        return DataLoader(
            self.train,
            batch_size=self.batch_size // self.shares,
            sampler=sampler,
            num_workers=self.workers,
            generator=sampler.generator,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader:
        """This device's share of the monitored images; shares differ by at most one image, and none is repeated."""
        assert self.trainer is not None
        assert self.monitored is not None, "limit_val_batches is 0 without a monitored split"
        shard = Subset(self.monitored, range(self.trainer.global_rank, len(self.monitored), self.trainer.world_size))
        return DataLoader(shard, batch_size=self.batch_size, num_workers=self.workers)
