"""A bundle in eight bits is a bundle like any other, close to what it was made from, or there is none."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from crossfer.calibration import fit_temperature
from crossfer.data.sample import DataError, Dataset
from crossfer.data.synthetic import load_synthetic
from crossfer.evaluate.comparison import PairResult
from crossfer.labels import FERPLUS, LabelSet
from crossfer.quantize import quantize as module
from crossfer.quantize.graph import eight_bit_nodes, fold
from crossfer.quantize.quantize import Quantized, QuantizeError, QuantizeOptions, quantize
from crossfer.quantize.static import to_eight_bits
from crossfer.runtime.bundle import BundleError, read_bundle, with_metadata
from crossfer.runtime.preprocess import preprocess
from support.bundles import calibration, tiny_bundle, tiny_graph, tiny_meta

FEW = QuantizeOptions(faces=64, max_loss=1.0)


def images(count: int) -> np.ndarray:
    """Drawn faces that were used for nothing else, as the model is fed them."""
    drawn = load_synthetic(split="test", samples=count)
    return preprocess([drawn.read(sample) for sample in drawn.samples], tiny_meta().input)


def answers(path: Path, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return read_bundle(path, threads=1).session.run(faces)


@pytest.fixture(scope="module")
def done(model: Path, train: Dataset, valid: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Quantized:
    return quantize(model, train, valid, tmp_path_factory.mktemp("int8") / "int8.onnx", FEW)


def test_answers_like_the_original_at_a_third_of_its_size(model: Path, done: Quantized):
    assert done.sizes == (model.stat().st_size, done.path.stat().st_size)
    assert done.sizes[1] < 0.45 * done.sizes[0]
    expected, _ = answers(model, images(40))
    found, evidence = answers(done.path, images(40))
    assert evidence.shape == (40, 8, 6, 6)
    error = np.sqrt(np.mean((found - expected) ** 2))
    assert 0 < error < 0.1 * expected.std()
    assert done.agreement > 0.9
    assert done.comparison.accuracies == (1.0, done.agreement)


def test_evidence_still_sums_to_the_logits(done: Quantized, mirrored: Path, train, valid, tmp_path: Path):
    both = quantize(mirrored, train, valid, tmp_path / "int8.onnx", FEW)
    for one in (done, both):
        logits, evidence = answers(one.path, images(16))
        np.testing.assert_allclose(evidence.sum(axis=(2, 3)), logits, atol=1e-5)
        assert one.evidence_error <= 1e-5
    # A face and its mirror image are one to mirrored views, in eight bits too.
    faces = images(16)
    np.testing.assert_allclose(
        answers(both.path, faces)[0], answers(both.path, faces[..., ::-1].copy())[0], atol=1e-5
    )


def test_a_face_is_answered_alike_alone_and_in_a_batch(done: Quantized):
    faces = images(7)
    together = answers(done.path, faces)
    for i in range(7):
        for one, other in zip(answers(done.path, faces[i : i + 1]), together, strict=True):
            np.testing.assert_allclose(one[0], other[i], atol=1e-5)


def test_onnx_runtime_computes_it_in_integers(done: Quantized, tmp_path: Path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    onnxruntime.InferenceSession(done.path.read_bytes(), options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    kinds = [node.op_type for node in nodes]
    some, of_all = done.convolutions
    assert kinds.count("QLinearConv") == some == of_all - 2
    assert kinds.count("QLinearAdd") == 8
    assert kinds.count("QuantizeLinear") == 1
    rounded = nodes[kinds.index("QuantizeLinear")].input[0]
    # The stem, once pooled: rounded before its pool, as the runtime would have it, a face takes longer.
    assert [node.op_type for node in nodes if rounded in node.output] == ["Max"]


def test_carries_the_metadata_over_and_says_how_it_was_made(model: Path, done: Quantized, valid: Dataset):
    old, bundle = read_bundle(model), read_bundle(done.path)
    new = bundle.meta
    assert (new.name, new.labels, new.input, new.grid) == (
        "random-int8",
        FERPLUS.expressions,
        old.meta.input,
        6,
    )
    assert new.provenance["epoch"] == 3
    assert new.provenance["scores"].keys() == {"valid"}  # the test score was the float model's
    assert new.provenance["scores"]["valid"]["accuracy"] == done.comparison.accuracies[1]
    assert new.provenance["scores"]["valid"]["data"] == valid.name != new.provenance["data"]
    how = new.provenance["quantized"]
    assert how["from_sha256"] == old.sha256
    assert (how["bits"], how["faces"], how["seed"], how["method"]) == (8, 64, 0, "minmax")
    faces = preprocess([valid.read(sample) for sample in valid.samples], new.input)
    truth = np.array([sample.label for sample in valid.samples])
    assert new.temperature == fit_temperature(answers(done.path, faces)[0], truth)
    assert str(done.path.parent).encode() not in done.path.read_bytes()
    onnx.checker.check_model(onnx.load(done.path))


def test_the_seed_alone_decides(model: Path, done: Quantized, train, valid, tmp_path: Path):
    again = quantize(model, train, valid, tmp_path / "again.onnx", FEW)
    assert again.path.read_bytes() == done.path.read_bytes()
    other = quantize(model, train, valid, tmp_path / "other.onnx", replace(FEW, seed=1))
    assert not np.array_equal(answers(other.path, images(4))[0], answers(done.path, images(4))[0])


def test_two_products_fit_16_bits_unless_all_bits_of_weights_are_asked_for(
    model: Path, done: Quantized, train, valid, tmp_path: Path
):
    all_bits = quantize(model, train, valid, tmp_path / "int8.onnx", replace(FEW, weight_bits=8))
    for one, largest in ((done, 64), (all_bits, 127)):
        kept = [onnx.numpy_helper.to_array(value) for value in onnx.load(one.path).graph.initializer]
        weights = [value for value in kept if value.dtype == np.int8 and value.ndim == 4]
        assert max(np.abs(value.astype(int)).max() for value in weights) == largest
    assert 2 * 255 * 64 < 2**15


def test_ranges_may_leave_out_the_farthest_values(model: Path, done: Quantized, train, valid, tmp_path: Path):
    other = quantize(model, train, valid, tmp_path / "other.onnx", replace(FEW, method="percentile"))
    assert other.meta.provenance["quantized"]["method"] == "percentile"
    assert other.agreement > 0.9
    assert not np.array_equal(answers(other.path, images(4))[0], answers(done.path, images(4))[0])


def test_mirror_images_count_as_much_as_the_faces(model: Path, done: Quantized, train, valid, tmp_path: Path):
    turned = replace(train, read=lambda sample: train.read(sample)[:, ::-1])
    other = quantize(model, turned, valid, tmp_path / "other.onnx", FEW)
    assert other.path.read_bytes() == done.path.read_bytes()


def test_fewer_training_faces_than_asked_for_are_all_used(model: Path, train, valid, tmp_path: Path):
    done = quantize(model, train, valid, tmp_path / "int8.onnx", replace(FEW, faces=500))
    assert done.faces == 96


def test_a_calibration_is_left_out_and_said_to_be(model: Path, train, valid, tmp_path: Path):
    biased = replace(calibration(), bias=(50.0, *[0.0] * 7))
    meta = replace(read_bundle(model).meta, name="random-balance-0.5", calibration=biased)
    (tmp_path / "calibrated.onnx").write_bytes(with_metadata(model.read_bytes(), meta))
    done = quantize(tmp_path / "calibrated.onnx", train, valid, tmp_path / "int8.onnx", FEW)
    assert done.lost_calibration
    assert done.comparison.accuracies[0] == 1  # its bias is no part of what is compared
    new = read_bundle(done.path).meta
    assert (new.calibration, new.name) == (None, "random-int8")
    assert new.provenance["quantized"]["from_model"] == "random-balance-0.5"


def test_what_a_recipe_is_called_after_stays_in_the_name(model: Path, train, valid, tmp_path: Path):
    meta = replace(read_bundle(model).meta, name="mine-balance-0.5")
    (tmp_path / "mine.onnx").write_bytes(with_metadata(model.read_bytes(), meta))
    done = quantize(tmp_path / "mine.onnx", train, valid, tmp_path / "int8.onnx", FEW)
    assert done.meta.name == "mine-balance-0.5-int8"


def test_it_is_measured_against_the_model_that_was_read(
    model: Path, done: Quantized, train, valid, tmp_path: Path, monkeypatch
):
    """Another may be exported to its name meanwhile."""
    copy, draw = tmp_path / "model.onnx", module._draw
    copy.write_bytes(model.read_bytes())

    def slow(*given):
        tiny_bundle(copy)
        return draw(*given)

    monkeypatch.setattr(module, "_draw", slow)
    again = quantize(copy, train, valid, tmp_path / "int8.onnx", FEW)
    assert again.comparison.accuracies == done.comparison.accuracies


def test_too_great_a_loss_is_refused_and_an_older_file_stays(model: Path, train, valid, tmp_path: Path):
    (tmp_path / "int8.onnx").write_bytes(b"older")
    wrong = replace(FEW, max_loss=-0.01)  # asks for a gain, which there cannot be where all was right
    with pytest.raises(
        QuantizeError, match=r"points of validation accuracy are lost \(95 % interval .*--max-loss"
    ):
        quantize(model, train, valid, tmp_path / "int8.onnx", wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["int8.onnx"]
    assert (tmp_path / "int8.onnx").read_bytes() == b"older"


def test_a_gain_is_no_loss():
    better = PairResult("old", "int8", 100, 100, (0.8, 0.9), 0.1, (0.0, 0.2), 5, 15, 0.04)
    module._refuse_a_bad_one(better, 0.0, QuantizeOptions())


def test_ranges_are_measured_on_every_face(model: Path):
    graph, seen = fold(model.read_bytes()), list[int]()
    to_eight_bits(graph, eight_bit_nodes(graph), images(21), progress=seen.append)
    assert sum(seen) == 21


def test_evidence_that_misses_its_logit_is_refused(model: Path, train, valid, tmp_path: Path):
    graph = onnx.load(model)
    for node in graph.graph.node:
        node.output[:] = ["sums" if name == "logits" else name for name in node.output]
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.float32([0.01] * 8), "more"))
    graph.graph.node.append(onnx.helper.make_node("Add", ["sums", "more"], ["logits"]))
    onnx.save(graph, str(tmp_path / "other.onnx"))
    with pytest.raises(QuantizeError, match=r"the evidence misses the logits by 0\.01"):
        quantize(tmp_path / "other.onnx", train, valid, tmp_path / "int8.onnx", FEW)
    assert not (tmp_path / "int8.onnx").exists()


def test_what_cannot_be_quantised_is_refused(done: Quantized, train, valid, tmp_path: Path):
    output = tmp_path / "new.onnx"
    onnx.save(tiny_graph(tiny_meta()), str(tmp_path / "plain.onnx"))
    with pytest.raises(BundleError, match="expected a crossfer bundle"):
        quantize(tmp_path / "plain.onnx", train, valid, output, FEW)
    with pytest.raises(QuantizeError, match="is quantised already"):
        quantize(done.path, train, valid, output, FEW)
    with pytest.raises(QuantizeError, match="expected convolutions to quantise, found none"):
        quantize(tiny_bundle(tmp_path / "linear.onnx"), train, valid, output, FEW)
    assert not output.exists()


def test_too_few_faces_are_refused(model: Path, train: Dataset, valid: Dataset, tmp_path: Path):
    few, some = replace(train, samples=train.samples[:63]), replace(valid, samples=valid.samples[:99])
    with pytest.raises(DataError, match="at least 64 training faces to measure ranges on, found 63"):
        quantize(model, few, valid, tmp_path / "int8.onnx", FEW)
    with pytest.raises(DataError, match="at least 100 validation faces to measure the loss on, found 99"):
        quantize(model, train, some, tmp_path / "int8.onnx", FEW)


def test_other_classes_are_refused(model: Path, train: Dataset, valid: Dataset, tmp_path: Path):
    names = ("boredom", *FERPLUS.expressions[1:])
    with pytest.raises(ValueError, match="does not know boredom"):
        quantize(model, train, replace(valid, labels=LabelSet("own", names)), tmp_path / "int8.onnx", FEW)


def test_the_model_is_never_overwritten(model: Path, train: Dataset, valid: Dataset, tmp_path: Path):
    content = model.read_bytes()
    os.link(model, tmp_path / "same.onnx")
    (tmp_path / "link.onnx").symlink_to(model)
    for name in ("same.onnx", "link.onnx"):
        with pytest.raises(QuantizeError, match="is the model itself"):
            quantize(model, train, valid, tmp_path / name, FEW)
    assert model.read_bytes() == content


@pytest.mark.parametrize("stopped", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_stopped_at_the_last_moment_it_leaves_nothing(
    model: Path, train, valid, tmp_path: Path, monkeypatch, stopped: BaseException
):
    def stop(content: bytes, meta: object, output: Path) -> None:
        raise stopped

    monkeypatch.setattr(module, "write_bundle", stop)
    with pytest.raises(type(stopped)):
        quantize(model, train, valid, tmp_path / "int8.onnx", FEW)
    assert list(tmp_path.iterdir()) == []
