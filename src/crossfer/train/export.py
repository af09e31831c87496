"""From a run to a bundle: one ONNX file that explains itself, checked against torch before it is written."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from crossfer.calibration import fit_temperature
from crossfer.method.collapse import collapse
from crossfer.metrics import stated_accuracy
from crossfer.runtime.bundle import BundleMeta, write_bundle
from crossfer.runtime.preprocess import InputContract, standardize
from crossfer.train.config import Recipe
from crossfer.train.loader import load_faces
from crossfer.train.network import input_contract
from crossfer.train.recipe_file import placeless
from crossfer.train.source import LICENSES, data_of_run, open_split, placed
from crossfer.train.stream import fingerprint
from crossfer.train.trained import find_weights, load_network
from crossfer.train.weights import require_place

TOLERANCE = 1e-4
OPSET = 18


class ExportError(ValueError):
    """A run that cannot be exported, or a graph that does not answer as torch does."""


class Inference(nn.Module):
    """What the bundle computes: logits (B, K) and evidence (B, K, G, G) of normalised images (B, C, S, S).

    Args:
        net: the trained network, in evaluation mode.
        mirror: average each face's answer with that of its mirror image, whose evidence is mirrored back, so
            that evidence still sums to the logits; costs twice the time.
    """

    def __init__(self, net: nn.Module, *, mirror: bool = False) -> None:
        super().__init__()
        self.net = net
        self.mirror = mirror

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Recognise."""
        if not self.mirror:
            output = self.net(image)
            return output.logits, output.evidence
        # Both views as one batch: a graph of half the size, which is faster for a single face.
        output = self.net(torch.stack([image, image.flip(3)]).flatten(0, 1))
        logits, evidence = output.logits.unflatten(0, (2, -1)), output.evidence.unflatten(0, (2, -1))
        return (logits[0] + logits[1]) / 2, (evidence[0] + evidence[1].flip(3)) / 2


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the bundle.
        max_difference: largest absolute difference to torch over random and real inputs.
        valid_accuracy: of the exported graph, in 0..1.
        temperature: fitted on the validation faces.
        size: bytes.
    """

    path: Path
    max_difference: float
    valid_accuracy: float
    temperature: float
    size: int


def export(
    run: Path, output: Path, *, root: Path | None = None, mirror: bool = False, name: str | None = None
) -> Exported:
    """Write a run's chosen weights as a bundle.

    The graph is compared with torch on random images and on the validation faces, whose logits also give the
    temperature.

    Args:
        run: the run's folder, its ``best.safetensors``, or an embedded model's name.
        output: the ``.onnx`` file to write; it appears only if all checks pass.
        root: where the recipe's data lies now.
        mirror: see :class:`Inference`.
        name: of the model in results; that of the recipe if None.

    Raises:
        CheckpointError: if the weights cannot be read, or the output is a folder or one of a run's own files.
        ValueError: if the output cannot be written.
        ExportError: if the validation faces are not those of the run, the graph and torch differ by more
            than 1e-4, or predictions depend on their batch.
    """
    path = find_weights(run)
    require_place(output, path)
    trained = load_network(path)
    recipe, labels, net = trained.recipe, trained.labels, trained.net
    if recipe.model.batch_mean == "batch":
        raise ExportError(
            f"{run}: model.batch_mean = 'batch' (variant 'released') makes a face's answer depend on the "
            "other faces of its batch, so no file was written; train with variant = 'corrected'"
        )
    contract = input_contract(recipe.model)
    data = data_of_run(placed(recipe.data, root), path.parent, labels)
    dataset = open_split(data, "valid")
    faces = load_faces(dataset, contract, votes=False)
    _require_same(trained.meta.get("faces", {}), fingerprint(faces), run)

    graph = to_graph(Inference(collapse(net), mirror=mirror).eval(), contract.shape)
    difference, logits = parity(Inference(net, mirror=mirror).eval(), graph, faces.images, contract)
    truth = faces.labels.numpy()
    temperature = fit_temperature(logits, truth)
    stated = stated_accuracy(logits.argmax(axis=1) == truth, dataset.name, "valid", dataset.protocol)
    bundle = BundleMeta(
        name=recipe.name if name is None else name,
        label_set=labels.name,
        labels=labels.expressions,
        input=contract,
        temperature=temperature,
        grid=recipe.model.grid,
        provenance=_provenance(recipe, trained.meta, dataset.protocol, stated, mirror),
    )
    write_bundle(graph.SerializeToString(), bundle, output)
    return Exported(output, difference, stated["accuracy"], temperature, output.stat().st_size)


def _require_same(theirs: dict[str, str], ours: str, run: Path) -> None:
    """Refuse other validation faces than those of the run, where it noted its own by split."""
    if theirs.get("valid", ours) != ours:
        raise ExportError(
            f"{run}: expected the validation faces that it was chosen on ({theirs['valid']}), found others "
            f"({ours}), so no file was written; name the data that it was trained with, as it was then: "
            "--root PATH"
        )


def _provenance(
    recipe: Recipe, meta: dict[str, Any], protocol: str, stated: dict[str, Any], mirror: bool
) -> dict[str, Any]:
    """Where a bundle comes from, and how well it did on the validation faces."""
    return {
        "recipe": placeless(recipe),
        "mirrored_views": mirror,
        "epoch": meta.get("epoch"),
        "commit": meta.get("commit", "unknown"),
        "teachers": meta.get("teachers", {}),
        "data": recipe.data.name,
        "protocol": protocol,
        "scores": {"valid": stated},
        "license": _license(recipe),
        "note": meta.get("note", ""),
    }


def _license(recipe: Recipe) -> str:
    """What may be done with the weights: what the data allows, and other weights that they come from."""
    own, init = LICENSES[recipe.data.name], recipe.model.init
    if init is not None:
        own += f"; started from the weights {init.name}, whose licence applies as well"
    if recipe.distill.teachers:
        names = ", ".join(teacher.name for teacher in recipe.distill.teachers)
        own += f"; taught by {names}, whose licence applies as well"
    return own


def to_graph(model: nn.Module, shape: tuple[int, int, int]) -> onnx.ModelProto:
    """The ONNX graph of a model with any batch size: ``image`` (B, *shape) to ``logits`` and ``evidence``."""
    # The exporter notes that torchvision's operators, which no model of ours uses, are not at hand.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # It also warns about its own internals, which no user can mend.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        program = torch.onnx.export(
            model,
            (torch.zeros(2, *shape),),
            input_names=["image"],
            output_names=["logits", "evidence"],
            opset_version=OPSET,
            dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
            dynamo=True,
            verbose=False,
        )
    graph = cast(Any, program).model_proto
    # Where each operator came from in the source is of no use to a user, and names files of this machine.
    for node in graph.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    onnx.checker.check_model(graph)
    return graph


@torch.no_grad()
def parity(
    model: nn.Module, graph: onnx.ModelProto, images: Tensor, contract: InputContract
) -> tuple[float, np.ndarray]:
    """Compare a graph with torch on random and on real inputs, and give its logits for the real ones.

    Args:
        model: gives logits and evidence.
        graph: should give the same.
        images: real faces, (N, C, S, S) uint8; in single precision a batch at a time, to spare memory.
        contract: how they are normalised.

    Returns:
        The largest absolute difference, and the graph's logits (N, K).

    Raises:
        ExportError: if an output differs by more than 1e-4.
    """
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    random = torch.randn(64, *images.shape[1:], generator=torch.Generator().manual_seed(0))
    worst, logits = 0.0, []
    for kind, inputs in (("random", random), ("real", images)):
        for part in inputs.split(256):
            batch = part if kind == "random" else standardize(part.float() / 255, contract)
            expected = model(batch)
            found = session.run(["logits", "evidence"], {"image": batch.numpy()})
            for name, e, f in zip(("logits", "evidence"), expected, found, strict=True):
                difference = float(np.abs(e.numpy() - np.asarray(f)).max())
                if not difference <= TOLERANCE:
                    raise ExportError(
                        f"the exported graph differs from torch by {difference:.2g} in {name} "
                        f"on {kind} inputs; expected at most {TOLERANCE:g}, so no file was written"
                    )
                worst = max(worst, difference)
            if kind == "real":
                logits.append(np.asarray(found[0]))
    return worst, np.concatenate(logits)
