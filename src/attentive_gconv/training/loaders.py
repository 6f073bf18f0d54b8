"""The batches of a run: reproducible shuffling, and shards for several devices."""

import lightning as L
import torch
from torch.utils.data import DataLoader, DistributedSampler, Subset

from attentive_gconv.data import LabelledDataset
from attentive_gconv.training.seeding import epoch_seed

# the stream of random numbers for augmentation; those from 3 on belong to the devices
_AUGMENTATION = 0


class EpochSampler(DistributedSampler):
    """The order of the training images, a function of the seed and the epoch alone; so is what the dataset draws.

    `generator` is for the `DataLoader`, which seeds its workers from it; it follows the epoch as well.
    """

    def __init__(self, dataset: LabelledDataset, seed: int, shards: int = 1, shard: int = 0) -> None:
        # spread the seeds: DistributedSampler adds the epoch to its seed, so neighbouring ones would share orders
        super().__init__(dataset, num_replicas=shards, rank=shard, shuffle=True, seed=epoch_seed(seed, 0, 1))
        self.images = dataset
        self.run_seed = seed
        self.generator = torch.Generator()
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is given next, and whose augmentation is drawn."""
        super().set_epoch(epoch)
        # the same on every device: it belongs to the image, wherever it is read
        self.images.draw_from(epoch_seed(self.run_seed, epoch, _AUGMENTATION))
        self.generator.manual_seed(epoch_seed(self.run_seed, epoch, 2))


class RunData(L.LightningDataModule):
    """The training images and those that are evaluated during training. It holds no others.

    Args:
        train: what is trained on.
        monitored: images evaluated during training; None for none.
        batch_size: of all devices together.
        shares: into how many parts, over all devices, a batch is divided.
        workers: processes that load images, on each device.
        seed: of the order.
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
        """This device's share of the training images, shuffled anew every epoch."""
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
        """This device's share of the monitored images: shares differ by an image at most and none is doubled."""
        assert self.trainer is not None
        assert self.monitored is not None, "without images to watch, the trainer must not ask for them"
        shard = Subset(self.monitored, range(self.trainer.global_rank, len(self.monitored), self.trainer.world_size))
        return DataLoader(shard, batch_size=self.batch_size, num_workers=self.workers)
