import numpy as np
import pytest
from onnx import helper, numpy_helper

from crossfer.runtime import session as session_module
from crossfer.runtime.bundle import BundleError, read_bundle
from support.bundles import damaged_bundle, tiny_graph, tiny_meta, write_bundle


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 9])
def test_batches_are_cut_into_chunks_without_changing_the_answer(tiny_model, monkeypatch, count):
    session = read_bundle(tiny_model, threads=1).session
    batch = np.random.default_rng(0).normal(size=(count, 1, 48, 48)).astype(np.float32)
    whole = session.run(batch)
    monkeypatch.setattr(session_module, "MAX_BATCH", 4)
    for chunked, expected in zip(session.run(batch), whole, strict=True):
        assert chunked.dtype == np.float32
        np.testing.assert_allclose(chunked, expected, rtol=1e-6, atol=1e-6)
    assert whole[0].shape == (count, 8)
    assert whole[1].shape == (count, 8, 6, 6)


def test_the_evidence_sums_to_the_logits(tiny_model):
    batch = np.random.default_rng(0).normal(size=(3, 1, 48, 48)).astype(np.float32)
    logits, evidence = read_bundle(tiny_model).session.run(batch)
    np.testing.assert_allclose(evidence.sum(axis=(2, 3)), logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_answers_that_are_not_finite_are_refused(tmp_path, value):
    session = read_bundle(damaged_bundle(tmp_path / "damaged.onnx", value)).session
    batch = np.ones((2, 1, 48, 48), np.float32)
    with pytest.raises(
        BundleError, match=r"^model 'tiny': expected finite logits and evidence, found others"
    ):
        session.run(batch)
    assert [len(part) for part in session.run(batch[:0])] == [0, 0]


def test_so_is_evidence_alone(tmp_path):
    graph = tiny_graph(tiny_meta())
    bounds = [numpy_helper.from_array(np.float32(value), name) for value, name in ((-1, "low"), (1, "high"))]
    graph.graph.initializer.extend(bounds)
    graph.graph.node.insert(3, helper.make_node("Clip", ["evidence", "low", "high"], ["clipped"]))
    graph.graph.node[4].input[0] = "clipped"  # of the sum, which is finite then
    path = write_bundle(tmp_path / "odd.onnx", graph, tiny_meta().to_json())
    with pytest.raises(BundleError, match="expected finite logits and evidence"):
        read_bundle(path).session.run(np.full((1, 1, 48, 48), np.inf, np.float32))


@pytest.mark.parametrize("output", ["logits", "evidence"])
def test_the_answer_of_one_face_is_not_that_of_all(tmp_path, output):
    graph = tiny_graph(tiny_meta())
    values = {"begin": [0], "end": [1], "axis": [0]}
    graph.graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int64), name) for name, value in values.items()
    )
    for node in graph.graph.node:
        for names in (node.input, node.output):
            names[:] = ["all" if name == output else name for name in names]
    graph.graph.node.append(helper.make_node("Slice", ["all", *values], [output]))
    session = read_bundle(write_bundle(tmp_path / "one.onnx", graph, tiny_meta().to_json())).session
    batch = np.ones((3, 1, 48, 48), np.float32)
    assert len(session.run(batch[:1])[0]) == 1
    with pytest.raises(BundleError, match=r"^model 'tiny': expected answers for 3 faces, found 1; "):
        session.run(batch)
