"""From a recipe's sizes to the network that has them, and to what it is fed."""

from __future__ import annotations

from crossfer.method import CrossLayerNet, build_model
from crossfer.runtime.preprocess import CHANNELS, InputContract
from crossfer.train.config import ModelConfig
from crossfer.train.faults import room_for_the_network


def input_contract(config: ModelConfig) -> InputContract:
    """The pre-processing that a model of this configuration is trained for and that its bundle asks for."""
    return InputContract(size=config.image_size, color=config.color)


@room_for_the_network()
def network(config: ModelConfig, num_classes: int) -> CrossLayerNet:
    """The network of a recipe, freshly initialised.

    Raises:
        TrainingError: if memory is too short for it.
    """
    sizes = config.model_dump(exclude={"color", "init"})
    return build_model(num_classes=num_classes, in_channels=CHANNELS[config.color], **sizes)
