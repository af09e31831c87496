import numpy as np
import pytest

from crossfer.runtime import session as session_module
from crossfer.runtime.bundle import read_bundle


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
