"""What a network starts from: published encoders, whole networks of other classes, and what does not fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from crossfer.labels import FERPLUS, LabelSet
from crossfer.method import CrossLayerNet, ResNet
from crossfer.runtime.bundle import read_bundle
from crossfer.train import checkpoint
from crossfer.train.checkpoint import CheckpointError
from crossfer.train.config import ModelConfig
from crossfer.train.network import network
from crossfer.train.start import start_from
from support.toy_faces import LABELS, toy_recipe

TOY = toy_recipe().model


def started(
    init: Path, labels: LabelSet = LABELS, config: ModelConfig = TOY, **sizes: Any
) -> tuple[CrossLayerNet, str]:
    config = config.model_copy(update={"init": init, **sizes})
    net = network(config, len(labels))
    return net, start_from(toy_recipe().model_copy(update={"model": config}), net, labels)


def torchvision_shapes(counters: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of torchvision's ``resnet18`` as its source spells them, written without ours.

    The file that torchvision downloads has no ``num_batches_tracked``; a model's own state dict has.
    """

    def norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield from (
            (f"{name}.{part}", (channels,)) for part in ("running_mean", "running_var", "weight", "bias")
        )
        if counters:
            yield f"{name}.num_batches_tracked", ()

    yield "conv1.weight", (64, 3, 7, 7)
    yield from norm("bn1", 64)
    before = 64
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            for conv in (1, 2):
                yield f"layer{stage}.{block}.conv{conv}.weight", (channels, before, 3, 3)
                yield from norm(f"layer{stage}.{block}.bn{conv}", channels)
                if conv == 1:
                    shortcut, before = before, channels
            if block == 0 and stage > 1:
                yield f"layer{stage}.0.downsample.0.weight", (channels, shortcut, 1, 1)
                yield from norm(f"layer{stage}.0.downsample.1", channels)
    yield "fc.weight", (1000, 512)
    yield "fc.bias", (1000,)


@pytest.mark.parametrize("counters", [False, True])
def test_imagenet_weights_as_torchvision_names_them_start_the_encoder(tmp_path: Path, counters: bool) -> None:
    shapes = dict(torchvision_shapes(counters))
    assert len(shapes) == (122 if counters else 102)
    theirs = {
        name: torch.tensor(7) if name.endswith("tracked") else torch.randn(shape)
        for name, shape in shapes.items()
    }
    save_file(theirs, tmp_path / "resnet18.safetensors")
    config = ModelConfig(image_size=224, color="rgb", width=64, stem="standard", dim=16, grid=4)
    torch.manual_seed(0)
    head = network(config, 7).head.bias
    torch.manual_seed(0)
    net, said = started(tmp_path / "resnet18.safetensors", LabelSet("x", tuple("abcdefg")), config)
    assert said == "the encoder of resnet18.safetensors; all else is new"
    ours = net.encoder.state_dict()
    assert all(torch.equal(ours[k], v) for k, v in theirs.items() if not k.startswith("fc."))
    assert torch.equal(net.head.bias, head)


def published(path: Path, **changes: Tensor | None) -> Path:
    """A file as published, for a narrow encoder."""
    tensors: dict[str, Tensor | None] = {k: v.clone() for k, v in ResNet(width=4).state_dict().items()}
    tensors |= {"fc.weight": torch.zeros(10, 32), "fc.bias": torch.zeros(10)} | changes
    save_file({k: v for k, v in tensors.items() if v is not None}, path)
    return path


def test_published_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = published(
        tmp_path / "w.safetensors",
        **{
            "conv1.weight": torch.zeros(4, 3, 7, 7),
            "layer1.0.bn1.bias": None,
            "layer9.weight": torch.zeros(2),
        },
    )
    with pytest.raises(CheckpointError) as caught:
        started(path)
    message = str(caught.value)
    assert message.startswith("model.init = ")
    assert (
        "w.safetensors does not fit the encoder in 3 tensors: expected {'conv1.weight': (4, 1, 3, 3)"
        in message
    )
    assert "found {'conv1.weight': (4, 3, 7, 7)" in message
    assert "'layer1.0.bn1.bias': 'missing'" in message
    assert "'layer9.weight': 'absent'" in message


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Path, CrossLayerNet]:
    """A file of a whole network with the classes neutral, happiness, surprise, in half precision."""
    net = network(TOY, len(LABELS))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    tensors = {k: v.half().float() for k, v in net.state_dict().items() if v.is_floating_point()}
    net.load_state_dict(tensors, strict=False)
    recipe = json.loads(toy_recipe().model_dump_json())
    meta = {"recipe": recipe, "label_set": ",".join(LABELS.expressions), "labels": list(LABELS.expressions)}
    halves = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    checkpoint.save(tmp_path / "whole.safetensors", halves, meta)
    return tmp_path / "whole.safetensors", net.eval()


def test_a_network_of_the_same_classes_is_taken_whole(whole: tuple[Path, CrossLayerNet]) -> None:
    net, said = started(whole[0])
    assert said == "the network of toy; its head kept for neutral, happiness, surprise"
    assert all(p.dtype == torch.float32 for p in net.parameters())
    images = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(net.eval()(images).logits, whole[1](images).logits)


@torch.no_grad()
def test_rows_of_the_head_go_by_the_name_of_their_class(whole: tuple[Path, CrossLayerNet]) -> None:
    net, said = started(whole[0], LabelSet("mine", ("bored", "surprise", "neutral", "calm")))
    assert said == "the network of toy; its head kept for surprise, neutral, new for bored, calm"
    images = torch.randn(5, 1, 32, 32)
    found, expected = net.eval()(images).logits, whole[1](images).logits
    torch.testing.assert_close(found[:, [1, 2]], expected[:, [2, 0]])
    other, _ = started(whole[0], LabelSet("mine", ("bored", "surprise", "neutral", "calm")))
    assert not torch.equal(net.head.weight[0], other.head.weight[0])  # type: ignore[index]


def test_none_of_the_classes_known(whole: tuple[Path, CrossLayerNet]) -> None:
    net, said = started(whole[0], LabelSet("mine", ("calm", "bored")))
    assert said == "the network of toy; its head new for calm, bored"
    assert torch.equal(net.encoder.conv1.weight, whole[1].encoder.conv1.weight)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"width": 2}, r"those weights have model\.width = 4, the recipe says 2$"),
        ({"width": 8}, r"those weights have model\.width = 4, the recipe says 8$"),
        ({"dim": 4, "grid": 3}, r"those weights have model\.dim = 8, model\.grid = 4, the recipe says 4, 3$"),
        ({"branch": "gap"}, r"those weights have model\.branch = 'msr\+gap', the recipe says 'gap'$"),
        ({"color": "rgb"}, r"model\.color = 'gray', the recipe says 'rgb'$"),
    ],
)
def test_a_network_of_other_sizes_is_refused_with_the_keys_that_differ(
    whole: tuple[Path, CrossLayerNet], sizes: dict[str, Any], message: str
) -> None:
    with pytest.raises(
        CheckpointError, match=r"^model\.init = .*does not fit the network in \d+ tensors.*" + message
    ):
        started(whole[0], **sizes)


@pytest.mark.parametrize("name", ["head.pooled_weight", "encoder.conv1.weight", "encoder.layer1.0.bn2.bias"])
@pytest.mark.parametrize("shape", [None, (2, 32), (3, 99), (99,), (99, 99, 1, 1)])
def test_a_network_that_is_not_what_its_recipe_says_is_refused(
    tmp_path: Path, whole: tuple[Path, CrossLayerNet], name: str, shape: tuple[int, ...] | None
) -> None:
    tensors, meta = checkpoint.load(whole[0])
    tensors |= {name: torch.zeros(shape or (0,))}
    if shape is None:
        del tensors[name]
    checkpoint.save(tmp_path / "odd.safetensors", tensors, meta)
    with pytest.raises(CheckpointError, match="does not fit the network"):
        started(tmp_path / "odd.safetensors")


def test_a_network_without_a_recipe_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "w.safetensors", dict(network(TOY, 3).state_dict()), {})
    with pytest.raises(CheckpointError, match="the weights carry no recipe and no label_set"):
        started(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["encoder.bn1.running_var", "head.bias"])
def test_weights_that_are_not_finite_are_refused(whole: tuple[Path, CrossLayerNet], name: str) -> None:
    tensors, meta = checkpoint.load(whole[0])
    tensors[name][0] = torch.nan
    checkpoint.save(whole[0], tensors, meta)
    with pytest.raises(
        CheckpointError,
        match=rf"^model\.init = .*whole\.safetensors: expected finite numbers, .* in {name}; name other",
    ):
        started(whole[0])


@pytest.mark.parametrize(
    ("init", "message"),
    [
        (
            "absent",
            r"model\.init = 'absent': expected a safetensors file or one of the embedded models \(base",
        ),
        ("no/such.safetensors", r"model\.init = .*no such checkpoint"),
    ],
)
def test_what_is_not_there_is_named(init: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        started(Path(init))


def test_a_run_s_folder_stands_for_its_chosen_weights(
    tmp_path: Path, whole: tuple[Path, CrossLayerNet]
) -> None:
    with pytest.raises(
        CheckpointError, match=rf"'{tmp_path}': {tmp_path}: .*found no best.safetensors in it"
    ):
        started(tmp_path)
    tensors, meta = checkpoint.load(whole[0])
    checkpoint.save(tmp_path / "best.safetensors", tensors, meta)
    assert started(tmp_path)[1] == "the network of toy; its head kept for neutral, happiness, surprise"
    last = checkpoint.with_prefix("model", tensors)
    checkpoint.save(tmp_path / "last.safetensors", last, meta | {"history": []})
    with pytest.raises(CheckpointError, match=rf"found what a run goes on from; name .*folder, {tmp_path},"):
        started(tmp_path / "last.safetensors")


def test_the_embedded_weights_by_their_name() -> None:
    config = ModelConfig(width=32, dim=64, grid=6)
    _, said = started(Path("default"), FERPLUS, config)
    name = read_bundle("default").meta.provenance["recipe"]["name"]
    assert said.startswith(f"the network of {name}; its head kept for neutral, happiness")
    narrow = ModelConfig(width=16)
    with pytest.raises(
        CheckpointError, match=r"model\.init = 'default': .*model\.width = 32, the recipe says 16"
    ):
        started(Path("default"), FERPLUS, narrow)
