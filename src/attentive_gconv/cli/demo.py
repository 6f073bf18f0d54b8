"""`agconv demo`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attentive_gconv.cli.options import DATA_DIR_OPTION, DATASET_OPTION, IMPORT_OPTION, TARGET_HELP

if TYPE_CHECKING:
    from attentive_gconv.checkpoints import TrainedModel


def demo_command(
    targets: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN_OR_WEIGHTS...]",
            help=f"{TARGET_HELP}; the page offers these and all shipped networks. A .pth file must be named after its "
            "network (alpha_p4cnn.pth), and needs --dataset.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; the default accepts connections from this machine only.")
    ] = ("127.0.0.1"),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port; default: the first free port from 7860 on.")
    ] = None,
    dataset: DATASET_OPTION = None,
    data_dir: DATA_DIR_OPTION = None,
    imports: IMPORT_OPTION = None,
) -> None:
    """Serve a local page: draw or upload an image, rotate it, and see what networks attend to. Ctrl-C stops it."""
    from attentive_gconv.training import ConfigError
    from attentive_gconv.visualize.page.server import serve

    models = networks(targets or [], dataset, str(data_dir) if data_dir else None)
    if not models:
        raise ConfigError("there is no network to show: this installation has no shipped weights: name a run folder")
    address = serve(models, host=host, port=port, block=False)
    typer.echo(f"{address} shows {', '.join(models)}; Ctrl-C stops it")
    _wait()


def networks(targets: list[Path], dataset: str | None, data_dir: str | None) -> dict[str, "TrainedModel"]:
    """The named networks, then the shipped ones, under distinct names.

    Raises:
        ConfigError: if a .pth file is not named after its network, a dataset or its folder is given without one, or a
            network does not take square images.
    """
    from attentive_gconv.checkpoints import open_model
    from attentive_gconv.checkpoints.pretrained import DEFAULT, list_pretrained
    from attentive_gconv.training import ConfigError

    references = [target for target in targets if target.suffix in (".pth", ".pt")]
    if not references and (dataset is not None or data_dir is not None):
        raise ConfigError("--dataset and --data-dir are for .pth files, and none is named: leave them out")
    models: dict[str, TrainedModel] = {}
    shipped = sorted(list_pretrained(), key=lambda name: (name != DEFAULT, name))
    for target in [*targets, *map(Path, shipped)]:
        reference = target in references
        trained = open_model(
            target,
            model=target.stem if reference else None,
            dataset=dataset if reference else None,
            data_dir=data_dir if reference else None,
        ).trained
        channels, height, width = trained.card.image_shape
        if height != width or channels not in (1, 3):
            raise ConfigError(
                f"{target} takes images {trained.card.image_shape}; the page needs square ones, grey or RGB"
            )
        name = trained.card.model
        if name in models:  # several runs of the same network
            name = f"{name} ({target})"
        models[name] = trained
    return models


def _wait() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return
