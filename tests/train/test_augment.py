from __future__ import annotations

import pytest
import torch

from crossfer.train.augment import Augment, mixup
from crossfer.train.config import AugmentConfig

OFF = {
    "flip": 0.0,
    "rotation": 0.0,
    "shift": 0.0,
    "scale": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "low_resolution": 0.0,
    "erasing": 0.0,
}
STRONG = {
    "flip": 1.0,
    "rotation": 180.0,
    "shift": 0.5,
    "scale": 0.9,
    "brightness": 0.9,
    "contrast": 0.9,
    "low_resolution": 1.0,
    "low_resolution_min": 0.01,
    "noise": 1.0,
    "noise_std": 0.5,
    "erasing": 1.0,
    "erasing_area": (0.3, 0.6),
}


def augment(**changes: float) -> Augment:
    return Augment(AugmentConfig(**(OFF | changes)))


def faces(batch: int = 8, channels: int = 1, side: int = 24) -> torch.Tensor:
    """Noise over a slope from top left to bottom right, so that no change of geometry leaves it as it was."""
    ramp = torch.linspace(0.1, 0.5, side)
    return (ramp[:, None] + ramp / 2)[None, None] + 0.1 * torch.rand(batch, channels, side, side)


@pytest.mark.parametrize("shape", [(1, 1, 48, 48), (5, 3, 33, 33), (16, 1, 24, 24)])
@pytest.mark.parametrize("changes", [OFF, {}, STRONG], ids=["off", "default", "strong"])
def test_keeps_shape_and_range(shape: tuple[int, ...], changes: dict[str, float]) -> None:
    change = Augment(AugmentConfig(**changes))
    for images in (torch.rand(shape), torch.zeros(shape), torch.ones(shape)):
        changed = change(images)
        assert changed.shape == shape
        assert changed.dtype == torch.float32
        assert changed.min() >= 0
        assert changed.max() <= 1


def test_switched_off_changes_nothing() -> None:
    images = faces()
    torch.testing.assert_close(augment()(images), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"flip": 1.0},
        {"rotation": 20.0},
        {"shift": 0.2},
        {"scale": 0.3},
        {"brightness": 0.3},
        {"contrast": 0.5},
        {"low_resolution": 1.0, "low_resolution_min": 0.2},
        {"erasing": 1.0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_each_switch_changes_something(changes: dict[str, float]) -> None:
    images = faces()
    assert (augment(**changes)(images) - images).abs().mean() > 0.002


def test_deterministic_under_the_global_seed() -> None:
    images, change = faces(), Augment(AugmentConfig())
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(change(images))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_faces_of_a_batch_are_changed_each_in_their_own_way() -> None:
    images = faces(1).expand(8, 1, 24, 24)
    for changes in ({"rotation": 20.0}, {"shift": 0.2}, {"brightness": 0.3}):
        changed = augment(**changes)(images)
        assert len(changed.mean(dim=(1, 2, 3)).unique()) == 8


@pytest.mark.parametrize("switch", ["flip", "low_resolution", "erasing"])
def test_each_happens_as_often_as_asked(switch: str) -> None:
    images = faces(400)
    changed = (augment(**{switch: 0.25}, low_resolution_min=0.2)(images) - images).abs().amax(dim=(1, 2, 3))
    assert (changed > 1e-3).float().mean() == pytest.approx(0.25, abs=0.07)


def test_faces_grow_and_shrink_by_up_to_what_is_asked() -> None:
    square = torch.zeros(200, 1, 41, 41)
    square[:, :, 11:30, 11:30] = 1
    sides = augment(scale=0.3)(square).sum(dim=(1, 2, 3)).sqrt() / 19
    assert 0.68 < sides.min() < 0.75
    assert 1.25 < sides.max() < 1.32


def test_faces_move_by_up_to_what_is_asked_to_all_sides() -> None:
    dot = torch.zeros(200, 1, 41, 41)
    dot[:, :, 20, 20] = 1
    places = augment(shift=0.2)(dot)[:, 0]
    steps = torch.arange(41) - 20.0
    for axis in (1, 2):
        moved = (places.sum(dim=3 - axis) * steps).sum(dim=1) / 41
        assert -0.21 < moved.min() < -0.17
        assert 0.17 < moved.max() < 0.21


def test_flip_mirrors_left_and_right() -> None:
    images = faces()
    torch.testing.assert_close(augment(flip=1.0)(images), images.flip(-1), atol=1e-5, rtol=0)


def test_light_is_about_each_face_s_own_mean() -> None:
    images = 0.3 + 0.4 * torch.rand(64, 1, 16, 16)
    brighter = augment(brightness=0.1)(images) - images
    assert brighter.std(dim=(1, 2, 3)).max() < 1e-5
    assert 0.05 < brighter.abs().max() <= 0.1
    contrast = augment(contrast=0.2)(images)
    torch.testing.assert_close(contrast.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)), atol=1e-5, rtol=0)
    gain = contrast.std(dim=(1, 2, 3)) / images.std(dim=(1, 2, 3))
    assert 0.8 - 1e-4 <= gain.min() < 0.9
    assert 1.1 < gain.max() <= 1.2 + 1e-4


def test_erasing_covers_the_area_asked_for_in_grey() -> None:
    erased = augment(erasing=1.0, erasing_area=(0.1, 0.2))(torch.zeros(64, 1, 40, 40))
    assert set(erased.unique().tolist()) == {0.0, 0.5}
    share = (erased > 0).float().mean(dim=(1, 2, 3))
    assert 0.08 < share.min() < share.max() < 0.22


def test_lost_detail_is_detail() -> None:
    """Shrinking keeps what is smooth and takes away what is not."""
    smooth = torch.linspace(0, 1, 32).expand(4, 1, 32, 32)
    noise = torch.rand(4, 1, 32, 32)
    change = augment(low_resolution=1.0, low_resolution_min=0.25)
    torch.manual_seed(3)
    assert (change(smooth) - smooth).abs().mean() < 0.02
    torch.manual_seed(3)
    assert change(noise).std() < 0.8 * noise.std()


def test_noise_comes_as_often_and_as_strong_as_asked() -> None:
    images = torch.full((400, 3, 16, 16), 0.5)
    change = augment(noise=0.25, noise_std=0.05)(images) - images
    noisy = change.abs().amax(dim=(1, 2, 3)) > 1e-4
    assert noisy.float().mean() == pytest.approx(0.25, abs=0.07)
    assert change[noisy].std() == pytest.approx(0.05, rel=0.02)
    assert not torch.equal(change[noisy][:, 0], change[noisy][:, 1])


def test_without_noise_nothing_more_is_drawn() -> None:
    torch.manual_seed(3)
    augment(noise_std=0.5)(faces())
    expected = torch.rand(())
    torch.manual_seed(3)
    augment()(faces())
    assert torch.equal(torch.rand(()), expected)


def test_mixup_blends_images_and_targets_alike() -> None:
    images, targets = torch.eye(6)[:, None, :, None].expand(6, 1, 6, 6).clone(), torch.eye(6)
    mixed_images, mixed_targets = mixup(images, targets, 1.0)
    torch.testing.assert_close(mixed_images[:, 0, :, 0], mixed_targets)
    torch.testing.assert_close(mixed_targets.sum(dim=1), torch.ones(6))
    torch.testing.assert_close(mixed_targets.sum(dim=0), torch.ones(6))
    assert not torch.equal(mixed_targets, targets)


def test_mixup_off_and_deterministic() -> None:
    images, targets = faces(), torch.eye(8)
    state = torch.get_rng_state()
    same = mixup(images, targets, 0.0)
    assert same[0] is images
    assert same[1] is targets
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(4)
    first = mixup(images, targets, 0.4)
    torch.manual_seed(4)
    assert all(torch.equal(a, b) for a, b in zip(first, mixup(images, targets, 0.4), strict=True))
