"""The released variant: its figures, and its defects, which these tests document."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from crossfer.method import CrossLayerLoss, build_model
from crossfer.method.kmeans import kmeans
from crossfer.method.released import align, clbs_loss, clfm_loss, hash_codes
from reference import released as naive

STAGES = (1, 2, 3)
SIDES, CHANNELS = (24, 14, 9, 6), (8, 12, 16, 20)


def features(batch: int = 3) -> list[torch.Tensor]:
    return [torch.randn(batch, c, s, s).relu() for c, s in zip(CHANNELS, SIDES, strict=True)]


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    """Figures obtained by running the released functions on fixed features (224 px: sides 56, 28, 14, 7)."""
    root = os.environ.get("CROSSFER_TEST_DATA")
    path = Path(root or ".") / "golden" / "release.npz"
    if not root or not path.is_file():
        pytest.skip("CROSSFER_TEST_DATA does not name a folder with golden/release.npz")
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def golden_features(golden: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    return [golden[f"feature_{j}"].float() for j in range(1, 5)]


def golden_start(golden: dict[str, torch.Tensor]) -> torch.Tensor:
    rows = golden["clfm_start_rows"]
    return golden["hash_code_4"][torch.arange(len(rows))[:, None], rows]


def test_codes_are_those_of_the_release(golden: dict[str, torch.Tensor]) -> None:
    for j, f in enumerate(golden_features(golden), start=1):
        assert torch.equal(hash_codes(f), golden[f"hash_code_{j}"])


def test_clfm_is_that_of_the_release(golden: dict[str, torch.Tensor]) -> None:
    start = golden_start(golden)
    found = clfm_loss(golden_features(golden), STAGES, k=4, start=start)
    assert [float(x) for x in found] == pytest.approx(
        [float(golden[f"clfm_loss_{j}"]) for j in STAGES], abs=1e-5
    )
    centroids = kmeans(golden["hash_code_4"], 4, start=start).centroids
    torch.testing.assert_close(centroids, golden["clfm_centroids"], atol=1e-5, rtol=0)
    for j in STAGES:
        over_the_code = align(golden[f"hash_code_{j}"], centroids, over=-1)
        assert float(over_the_code) == pytest.approx(float(golden[f"clfm_loss_code_axis_{j}"]), abs=1e-5)


def test_clbs_is_that_of_the_release(golden: dict[str, torch.Tensor]) -> None:
    vectors = [golden[f"clbs_vector_{j}"] for j in range(1, 5)]
    start = vectors[-1][golden["clbs_start_rows"]][None]
    found = clbs_loss(vectors, STAGES, k=7, start=start)
    assert [float(x) for x in found] == pytest.approx(
        [float(golden[f"clbs_loss_{j}"]) for j in STAGES], abs=1e-5
    )
    centroids = kmeans(vectors[-1][None], 7, start=start).centroids
    torch.testing.assert_close(centroids[0], golden["clbs_centroids"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", [6, 9, 13, 24])
def test_codes_agree_with_their_naive_twin(side: int) -> None:
    f = torch.randn(2, 5, side, side)
    expected = np.stack([naive.hash_codes(image) for image in f.double().numpy()])
    assert np.array_equal(hash_codes(f).numpy(), expected)


@pytest.mark.parametrize("k", [1, 4])
def test_clfm_agrees_with_its_naive_twin(k: int) -> None:
    maps = features()
    start = hash_codes(maps[-1])[:, :k]
    found = clfm_loss(maps, STAGES, k=k, start=start)
    doubles = [f.double().numpy() for f in maps]
    for j, loss in zip(STAGES, found, strict=True):
        expected = naive.clfm_loss(doubles[j - 1], doubles[-1], start.numpy())
        assert float(loss) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("k", [1, 5])
def test_clbs_agrees_with_its_naive_twin(k: int) -> None:
    vectors = [torch.randn(12, 20) for _ in range(4)]
    start = vectors[-1][None, :k]
    doubles = [v.double().numpy() for v in vectors]
    for j, loss in zip(STAGES, clbs_loss(vectors, STAGES, k=k, start=start), strict=True):
        expected = naive.clbs_loss(doubles[j - 1], doubles[-1], start[0].double().numpy())
        assert float(loss) == pytest.approx(expected, abs=1e-5)


def test_a_map_too_small_to_pool_is_named() -> None:
    with pytest.raises(ValueError, match="at least 3 x 6 cells, got 5 x 5; use a larger image"):
        hash_codes(torch.randn(1, 2, 5, 5))


# ---- its defects ----


def released_loss(channels: tuple[int, ...]) -> CrossLayerLoss:
    return CrossLayerLoss(
        num_classes=3,
        channels=channels,
        embedding_dim=4,
        lambdas=(0.1, 0.1, 0.1),
        coding="hash",
        contrast="cosine",
        variant="released",
    )


def test_defect_clfm_teaches_nothing() -> None:
    maps = [f.requires_grad_() for f in features()]
    assert not any(loss.requires_grad for loss in clfm_loss(maps, STAGES))


def test_defect_the_whole_loss_has_no_gradient_from_clfm() -> None:
    net = build_model(
        num_classes=3,
        image_size=96,
        in_channels=1,
        width=4,
        stem="small",
        dim=4,
        grid=6,
        weighting="sum",
        embed_norm=False,
        batch_mean="batch",
        branch="msr",
    )
    loss = released_loss(net.encoder.channels)
    terms = loss(net(torch.randn(6, 1, 96, 96)), torch.eye(3).repeat(2, 1))
    assert not terms.feature_map.requires_grad
    terms.batch.backward()  # CLBS does teach
    assert float(net.encoder.layer1[0].conv1.weight.grad.abs().max()) > 0


def test_defect_a_score_depends_on_the_other_faces() -> None:
    options = {"num_classes": 3, "image_size": 32, "in_channels": 1, "width": 4, "dim": 4, "grid": 4}
    faces = torch.randn(4, 1, 32, 32)
    released = build_model(**options, stem="small", branch="msr", batch_mean="batch").eval()
    ours = build_model(**options, stem="small", branch="msr", batch_mean="running").eval()
    with torch.no_grad():
        assert not torch.allclose(released(faces).logits[0], released(faces[:1]).logits[0], atol=1e-3)
        torch.testing.assert_close(ours(faces).logits[0], ours(faces[:1]).logits[0])


def test_defect_positions_are_read_with_the_wrong_width() -> None:
    """A map of 6 x 6 pools to 2 x 2, whose last cell is (1, 1); the release calls it (0, 3)."""
    f = torch.zeros(1, 1, 6, 6)
    f[..., 3:, 3:] = 2
    f[..., :3, :3] = 1
    assert hash_codes(f).tolist() == [[[0, 3, 0, 0]]]
    wide = torch.zeros(1, 1, 54, 54)  # pools to 18 x 18: cell (1, 0) is index 18, called (2, 2)
    wide[..., 3:6, :3] = 2
    wide[..., :3, :3] = 1
    assert hash_codes(wide).tolist() == [[[2, 2, 0, 0]]]


def test_defect_a_cluster_that_nobody_joined_counts_as_aligned() -> None:
    centroids = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
    codes = torch.tensor([[[1.0, 1.0]]])  # joins the first
    assert float(align(codes, centroids, over=-1)) == pytest.approx(-0.5 * (0.5**0.5 + 1) / 2)


def test_defect_a_collapse_is_the_minimum() -> None:
    same = [torch.ones(6, 8) for _ in range(4)]
    assert float(clbs_loss(same, (1,), k=3)[0]) == pytest.approx(-0.5, abs=1e-6)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("coding", "pooled"),
        ("contrast", "infonce"),
        ("temperature", 7.0),
        ("stop_gradient", False),
        ("projection", "stage"),
        ("target", "random"),
    ],
)
def test_the_variant_and_other_options_contradict_each_other(option: str, value: object) -> None:
    options = {"coding": "hash", "contrast": "cosine", option: value}
    with pytest.raises(ValueError, match=f"variant 'released' means {option} = .*, got {value!r}"):
        CrossLayerLoss(num_classes=3, channels=(4, 8, 16, 32), embedding_dim=4, variant="released", **options)


def test_a_batch_smaller_than_its_clusters_is_named() -> None:
    vectors = [torch.randn(3, 8) for _ in range(4)]
    with pytest.raises(
        ValueError, match=r"CLBS .*'released': expected at least 4 faces in a batch.*found 3;"
    ):
        clbs_loss(vectors, STAGES, k=4)
