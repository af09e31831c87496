"""Images that occur twice: exact numbers on FERPlus, near matches against the slow way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfer.data.duplicates import (
    NEAR,
    find_near_pairs,
    group_duplicates,
    join_groups,
    members,
)
from crossfer.data.fingerprint import Fingerprints, pixel_digest, take_fingerprints, thumbnail
from crossfer.data.sample import DataError, Dataset, Sample
from crossfer.data.source import open_dataset
from crossfer.labels import FERPLUS
from data.layouts import picture
from reference import duplicates as slow


def dataset(images: list[np.ndarray | None], split: str = "train") -> Dataset:
    def read(sample: Sample) -> np.ndarray:
        image = images[int(sample.path)]
        if image is None:
            raise DataError(f"{sample.path}: cannot be read")
        return image

    samples = tuple(Sample(str(i), 0, split=split) for i in range(len(images)))
    return Dataset("toy", "all", FERPLUS, samples, read)


def shifted(image: np.ndarray) -> np.ndarray:
    return np.roll(image, 1, axis=1)


def dimmed(image: np.ndarray) -> np.ndarray:
    return (image * 0.6 + 20).astype(np.uint8)


def different_digests(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(count, 16), dtype=np.uint8)


def test_identical_pixels_alone_are_identical():
    one, other = picture(1), picture(2)
    changed = one.copy()
    changed[3, 3, 0] ^= 1
    prints = take_fingerprints(
        [dataset([one, other, changed]), dataset([one.copy(), one.reshape(16, 64, 3)])]
    )
    assert group_duplicates(prints).tolist() == [0, 1, 2, 0, 4]


def test_nearly_identical_and_mirrored_ones_are_found_across_data_sets():
    one, other = picture(1, side=48), picture(2, side=48)
    train = dataset([picture(i + 10, side=48) for i in range(30)] + [one, other])
    test = dataset([shifted(one), dimmed(other), other[:, ::-1], picture(99, side=48), one], "test")
    prints = take_fingerprints([train, test])
    pairs = find_near_pairs(prints)
    assert pairs.tolist() == [[30, 32], [31, 33], [31, 34], [33, 34]]
    identical, nearly = (np.split(group_duplicates(prints, p), [len(train)]) for p in (None, pairs))
    assert np.flatnonzero(np.isin(identical[1], identical[0])).tolist() == [4]
    assert np.flatnonzero(np.isin(nearly[1], nearly[0])).tolist() == [0, 1, 2, 4]


def test_images_that_cannot_be_read_are_told_and_like_no_other():
    prints = take_fingerprints([dataset([None, picture(1), None, np.zeros((9, 9, 3), np.uint8)])])
    told = {index: str(error) for index, error in prints.unreadable.items()}
    assert told == {0: "0: cannot be read", 2: "2: cannot be read"}
    assert members(group_duplicates(prints, find_near_pairs(prints))) == []


def test_flat_images_are_near_to_none():
    grey = [np.full((20, 20, 3), value, np.uint8) for value in (10, 100, 200)]
    assert len(find_near_pairs(take_fingerprints([dataset(list(grey))]))) == 0


@pytest.mark.parametrize(("deviation", "pairs"), [(0.5, []), (2, [[0, 1]])])
def test_faint_noise_is_near_to_none_however_well_it_correlates(deviation: float, pairs: list[list[int]]):
    noise = np.random.default_rng(0).normal(size=576)
    thumbs = np.round(128 + deviation * noise / noise.std() * [[1], [1]]).astype(np.uint8)
    found = find_near_pairs(Fingerprints(different_digests(2), thumbs, {}))
    assert found.tolist() == pairs


@settings(max_examples=4)
@given(st.integers(0, 2**32 - 1))
def test_near_pairs_are_those_of_the_slow_way(seed: int):
    rng = np.random.default_rng(seed)
    base = np.stack([thumbnail(picture(seed, i)) for i in range(8)]).astype(float)
    noisy = base + rng.normal(0, rng.uniform(2, 20), base.shape)
    turned = base.reshape(-1, 24, 24)[:, :, ::-1].reshape(8, -1) * 0.8
    thumbs = np.clip(np.concatenate([base, noisy, turned]), 0, 255).astype(np.uint8)
    digests = rng.integers(256, size=(24, 16), dtype=np.uint8)
    found = set(map(tuple, find_near_pairs(Fingerprints(digests, thumbs, {})).tolist()))
    # Just above the threshold a pair may be missed; one above 0.97 is found with a probability of 0.999.
    assert slow.near_pairs(thumbs, 0.97) <= found <= slow.near_pairs(thumbs, NEAR)


def test_pairs_at_the_threshold_are_found_as_often_as_the_tables_promise():
    """At a correlation of 0.945 with a probability of 0.973, for (1 - arccos(0.945) / pi) ** 20 = 0.106."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 64, 3))
    vectors[:, :, 0] = 1
    one, other = np.linalg.qr(vectors)[0][:, :, 1:].transpose(2, 0, 1)  # without mean, of length 1
    pairs = np.stack([one, 0.945 * one + np.sqrt(1 - 0.945**2) * other], axis=1).reshape(600, 8, 8)
    thumbs = np.round(128 + 250 * np.kron(pairs, np.ones((3, 3)))).astype(np.uint8).reshape(600, 576)
    found = find_near_pairs(Fingerprints(different_digests(600), thumbs, {}))
    assert all(j == i + 1 and i % 2 == 0 for i, j in found.tolist())
    assert 0.93 < len(found) / 300 < 1


def test_candidates_in_many_blocks_give_the_same_pairs(monkeypatch):
    thumbs = np.stack([thumbnail(picture(1, i % 4)) for i in range(12)])
    prints = Fingerprints(different_digests(12), thumbs, {})
    expected = find_near_pairs(prints).tolist()
    assert len(expected) == 4 * 3
    monkeypatch.setattr("crossfer.data.duplicates.PAIRS_AT_ONCE", 3)
    assert find_near_pairs(prints).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_groups_are_the_connected_components(edges: list[tuple[int, int]]):
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = [tuple(sorted(edge)) for edge in edges if edge[0] != edge[1]]  # type: ignore[misc]
    digests = np.random.default_rng(0).integers(256, size=(20, 16), dtype=np.uint8)
    prints = Fingerprints(digests, np.zeros((20, 576), np.uint8), {})
    pairs = np.array(edges, np.int64).reshape(-1, 2)
    groups = group_duplicates(prints, pairs)
    graph = coo_array((np.ones(len(edges)), (pairs[:, 0], pairs[:, 1])), shape=(20, 20))
    _, wanted = connected_components(graph, directed=False)
    assert ((groups[:, None] == groups) == (wanted[:, None] == wanted)).all()
    assert all(groups[group].tolist() == [group[0]] * len(group) for group in members(groups))


def test_keys_join_groups():
    assert join_groups(np.array([0, 1, 0, 3, 4]), ["a", None, "b", "b", None]).tolist() == [0, 1, 0, 0, 4]


def test_a_digest_never_changes():
    """From ``printf '(1, 2, 3)\\0\\1\\2\\3\\4\\5' | b2sum -l 128``."""
    pixels = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    assert pixel_digest(pixels).tobytes().hex() == "a4802d39b2ce8cb1a449c92ce36f4d62"


def test_ferplus_leaks_as_was_measured(ferplus_root: Path):
    """By MD5 of the pixels: 288, 44, 279 and 1,224."""
    train, valid, test = (
        open_dataset("ferplus", ferplus_root, split=split, every=True) for split in ("train", "valid", "test")
    )
    assert (len(train), len(valid), len(test)) == (28_558, 3_579, 3_573)
    groups = group_duplicates(take_fingerprints([train, valid, test]))
    a, b, c = np.split(groups, [len(train), len(train) + len(valid)])
    assert np.isin(c, a).sum() == 288
    assert np.isin(c, b).sum() == 44
    assert np.isin(b, a).sum() == 279
    assert len(a) - len(np.unique(a)) == 1_224
