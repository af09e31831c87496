"""From a recipe's sizes to the network that has them, and to what it is fed."""

from __future__ import annotations

from crossfer.method import CrossLayerNet, build_model
from crossfer.runtime.preprocess import InputContract
from crossfer.train.config import ModelConfig
from crossfer.train.faults import SMALLER_NETWORK, enough_memory


def input_contract(config: ModelConfig) -> InputContract:
    """The pre-processing that a model of this configuration is trained for and that its bundle asks for."""
    return InputContract(size=config.image_size, color=config.color)


@enough_memory("the network", f"take {SMALLER_NETWORK}")
def network(config: ModelConfig, num_classes: int) -> CrossLayerNet:
    """The network of a recipe, freshly initialised.

    Raises:
        TrainingError: if memory is too short for it.
    """
    return build_model(
        num_classes=num_classes,
        image_size=config.image_size,
        in_channels=1 if config.color == "gray" else 3,
        depth=config.depth,
        width=config.width,
        channels=config.channels,
        stem=config.stem,
        dim=config.dim,
        grid=config.grid,
        weighting=config.weighting,
        embed_norm=config.embed_norm,
        batch_mean=config.batch_mean,
        branch=config.branch,
    )
