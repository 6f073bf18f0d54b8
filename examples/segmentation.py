"""Segmentation with an attentive p4m-U-Net: rings, squares and bars in noise, drawn here, and masks that turn along.

    python examples/segmentation.py --out runs/segmentation

Trains on 320 images of 40 x 40 pixels and measures on 100 others: the mean intersection over union of the three shapes,
and how many pixels of the predicted masks change when the image is turned and mirrored. Writes ``result.json`` and
``masks.png``: an image in all eight poses, the masks, and each mask turned back.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import attentive_gconv as ag
from attentive_gconv.environment import describe_environment
from attentive_gconv.files import atomic_path, write_json

SIDE, CLASSES, NOISE = 40, ("background", "ring", "square", "bar"), 0.5


def draw(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images ``(count, 1, 40, 40)`` of one to three shapes in noise, and their masks ``(count, 40, 40)`` of classes."""
    random = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    images, masks = torch.zeros(count, SIDE, SIDE), torch.zeros(count, SIDE, SIDE, dtype=torch.int64)
    for image, mask in zip(images, masks, strict=True):
        for kind in (
            torch.randperm(3, generator=random)[: int(torch.randint(1, 4, (), generator=random))] + 1
        ).tolist():
            y, x = (torch.rand(2, generator=random) * (SIDE - 20) + 10).tolist()
            angle = float(torch.rand((), generator=random)) * torch.pi
            cos, sin = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
            u, v = (rows - y) * cos + (columns - x) * sin, (columns - x) * cos - (rows - y) * sin
            if kind == 1:
                inside = (u**2 + v**2 - 5.5**2).abs() < 18
            else:
                inside = (u.abs() < (6 if kind == 2 else 9)) & (v.abs() < (6 if kind == 2 else 2.5))
            image[inside], mask[inside] = 1.0, kind
    return (images + NOISE * torch.randn(images.shape, generator=random))[:, None], masks


def train(model: nn.Module, images: Tensor, masks: Tensor, epochs: int, batch_size: int = 8) -> None:
    """Cross-entropy of every pixel, Adam, a one-cycle schedule."""
    steps = epochs * (len(images) // batch_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    weights = torch.tensor([0.3, 1.0, 1.0, 1.0])  # most pixels are background
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(images))[: steps // epochs * batch_size].split(batch_size):
            loss = nn.functional.cross_entropy(model(images[batch]), masks[batch], weights)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        print(f"epoch {epoch + 1}/{epochs}  loss {total / (steps // epochs):.3f}")


@torch.no_grad()
def predict(model: nn.Module, images: Tensor) -> Tensor:
    """The masks ``(B, Y, X)``."""
    model.eval()
    return torch.cat([model(batch).argmax(1) for batch in images.split(25)])


def intersection_over_union(predicted: Tensor, masks: Tensor) -> list[float]:
    """Of every class but the background, over all pixels of all images."""
    return [
        float(((predicted == c) & (masks == c)).sum() / ((predicted == c) | (masks == c)).sum())
        for c in range(1, len(CLASSES))
    ]


def changed_pixels(model: nn.Module, images: Tensor, group: ag.FiniteGroup) -> float:
    """The fraction of pixels whose class changes when an image is moved and its mask moved back, over all elements."""
    straight = predict(model, images)
    changed = [
        (group.act_on_plane(group.inverse(h), predict(model, group.act_on_plane(h, images))) != straight)
        .double()
        .mean()
        for h in range(1, group.order)
    ]
    return float(torch.stack(changed).mean())


def figure(model: nn.Module, image: Tensor, group: ag.FiniteGroup, path: Path) -> None:
    """An image in all poses, its masks, and the masks moved back."""
    import matplotlib.pyplot as plt

    axes: Any
    drawing, axes = plt.subplots(3, group.order, figsize=(1.4 * group.order, 4.4), layout="constrained")
    for h in range(group.order):
        moved = group.act_on_plane(h, image)
        mask = predict(model, moved[None])[0]
        back = group.act_on_plane(group.inverse(h), mask)
        for row, (plane, options) in enumerate(
            [(moved[0], {"cmap": "gray"}), *[(m, {"cmap": "viridis", "vmin": 0, "vmax": 3}) for m in (mask, back)]]
        ):
            axes[row, h].imshow(plane.numpy(), **options, interpolation="nearest")
            axes[row, h].set(xticks=[], yticks=[])
        axes[0, h].set_title(group.element_name(h), fontsize=9)
    for row, label in enumerate(("image", "mask", "mask, turned back")):
        axes[row, 0].set_ylabel(label, fontsize=9)
    with atomic_path(path) as partial:
        drawing.savefig(partial, dpi=110, format="png")
    plt.close(drawing)


def main() -> None:
    """Read the command line, train, measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="a folder")
    parser.add_argument("--group", default="p4m", help="the group of the network (z2: a planar U-Net)")
    parser.add_argument("--channels", type=int, default=4, help="width of the first level")
    parser.add_argument("--attention", default="input", help="a kind of attention, or none")
    parser.add_argument("--images", type=int, default=320, help="training images")
    parser.add_argument("--test-images", type=int, default=100, help="images that are measured on")
    parser.add_argument("--epochs", type=int, default=5)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = ag.models.UNet(
        arguments.group, arguments.attention, arguments.channels, num_classes=len(CLASSES), spatial_kernel_size=5
    )
    images, masks = draw(arguments.images, seed=1)
    start = time.perf_counter()
    train(model, images, masks, arguments.epochs)
    seconds = time.perf_counter() - start
    test_images, test_masks = draw(arguments.test_images, seed=2)
    predicted = predict(model, test_images)
    scores = intersection_over_union(predicted, test_masks)
    p4m = ag.group("p4m")
    errors = ag.check_equivariance(model.double(), p4m, test_images[:4].double())
    result = {
        "environment": describe_environment(),
        "group": arguments.group,
        "attention": arguments.attention,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "training_seconds": seconds,
        "intersection_over_union": dict(zip(CLASSES[1:], scores, strict=True)),
        "equivariance_error_float64": float(errors.max()),
        "changed_pixels_float64": changed_pixels(model, test_images[:20].double(), p4m),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out / "result.json", result)
    figure(model, test_images[0].double(), p4m, arguments.out / "masks.png")
    print(
        f"{result['parameters']:,} parameters, {seconds:.0f} s; intersection over union "
        + ", ".join(f"{name} {score:.2f}" for name, score in zip(CLASSES[1:], scores, strict=True))
        + f"; equivariance error {errors.max():.1e}, pixels that change {result['changed_pixels_float64']:.2%}"
    )


if __name__ == "__main__":
    main()
