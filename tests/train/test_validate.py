from __future__ import annotations

from pathlib import Path

import pytest
import torch

from crossfer.runtime.preprocess import standardize
from crossfer.train import checkpoint
from crossfer.train.network import input_contract, network
from support.runs import toy_run
from support.toy_faces import LABELS, toy_faces, toy_recipe


def test_epochs_are_judged_by_the_averaged_weights(tmp_path: Path) -> None:
    recipe = toy_recipe(optim={"epochs": 2, "ema_decay": 0.999})
    result = toy_run(recipe, tmp_path)
    tensors = checkpoint.load(tmp_path / "last.safetensors")[0]
    valid, losses = toy_faces(24, seed=1), []
    for name in ("averaged.module", "model"):
        net = network(recipe.model, len(LABELS))
        net.load_state_dict(checkpoint.under(name, tensors))
        logits = net.eval()(standardize(valid.images.float() / 255, input_contract(recipe.model))).logits
        losses.append(float(torch.nn.functional.cross_entropy(logits.detach(), valid.labels)))
        if name == "averaged.module":
            accuracy = float((logits.argmax(dim=1) == valid.labels).float().mean())
    assert (result.history[-1].valid_loss, result.history[-1].valid_accuracy) == pytest.approx(
        (losses[0], accuracy), abs=1e-5
    )
    assert abs(losses[1] - losses[0]) > 1e-3
