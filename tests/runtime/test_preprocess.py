import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from crossfer.runtime.align import CropGeometry
from crossfer.runtime.preprocess import InputContract, normalize, preprocess, resize_crop, standardize
from crossfer.stored import from_plain, to_plain

GRAY, COLOR = InputContract(), InputContract(size=32, color="rgb", mean=0.4, std=0.2)
NOISE = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)


def test_a_training_face_stored_as_rgb_stays_as_it_is():
    face = np.random.default_rng(1).integers(0, 256, (48, 48), dtype=np.uint8)
    assert np.array_equal(resize_crop(np.repeat(face[:, :, None], 3, axis=2), GRAY)[0], face)


def test_every_grey_level_survives():
    levels = np.tile(np.arange(256, dtype=np.uint8).reshape(16, 16)[:, :, None], (3, 3, 3))
    assert np.array_equal(resize_crop(levels, GRAY)[0], levels[:, :, 0])


def test_grey_is_the_luma_of_itu_r_601():
    weights = np.array([0.299, 0.587, 0.114])
    ours = resize_crop(NOISE[:48, :48], GRAY)[0]
    assert np.abs(ours - NOISE[:48, :48] @ weights).max() <= 1


def test_grey_is_pillows_for_every_color():
    contract = InputContract(size=256)
    plane = np.stack(np.meshgrid(*[np.arange(256, dtype=np.uint8)] * 2), axis=-1)
    for red in range(256):
        colors = np.concatenate([np.full((256, 256, 1), red, np.uint8), plane], axis=-1)
        assert np.array_equal(resize_crop(colors, contract)[0], Image.fromarray(colors).convert("L"))


@pytest.mark.parametrize("contract", [GRAY, COLOR])
def test_a_crop_of_the_right_size_is_not_written_to(contract):
    crop = NOISE[: contract.size, : contract.size].copy()
    resize_crop(crop, contract)[:] = 0
    assert np.array_equal(crop, NOISE[: contract.size, : contract.size])


def test_color_keeps_the_channel_order():
    red = np.full((64, 64, 3), (250, 20, 3), np.uint8)
    assert resize_crop(red, COLOR)[:, 5, 5].tolist() == [250, 20, 3]


def test_shrinking_is_antialiased():
    stripes = np.zeros((480, 480, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = resize_crop(stripes, GRAY)
    assert abs(int(shrunk.mean()) - 127) <= 2
    assert shrunk.std() < 5


@given(height=st.integers(1, 200), width=st.integers(1, 200), value=st.integers(0, 255))
@settings(max_examples=50)
def test_any_crop_gives_the_contracts_shape_and_flat_ones_stay_flat(height, width, value):
    for contract in (GRAY, COLOR):
        pixels = resize_crop(np.full((height, width, 3), value, np.uint8), contract)
        assert pixels.shape == contract.shape
        assert pixels.dtype == np.uint8
        assert (pixels == value).all()


def test_normalize_in_closed_form():
    values = normalize(np.array([0, 51, 255], np.uint8), COLOR)
    assert values.dtype == np.float32
    assert values.tolist() == pytest.approx([-2, -1, 3])


def test_standardize_gives_the_same_for_tensors():
    torch = pytest.importorskip("torch")
    pixels = np.arange(256, dtype=np.uint8)
    tensor = standardize(torch.from_numpy(pixels).float() / 255, GRAY)
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor.numpy(), normalize(pixels, GRAY), rtol=0, atol=1e-6)


def test_preprocess_stacks_what_its_parts_give():
    crops = [NOISE, NOISE[:30, :30]]
    batch = preprocess(crops, GRAY)
    assert batch.shape == (2, 1, 48, 48)
    assert batch.dtype == np.float32
    for crop, values in zip(crops, batch, strict=True):
        image = Image.fromarray(crop).convert("L").resize((48, 48), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(values[0], (np.asarray(image) / 255 - 0.5) / 0.25, atol=1e-6)
    assert preprocess([], GRAY).shape == (0, 1, 48, 48)


def test_the_contract_survives_its_plain_form():
    contract = InputContract(64, "rgb", 0.1, 0.9, CropGeometry(2.0, 0.1, 0.2))
    assert from_plain(InputContract, to_plain(contract), "input") == contract


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": None}, "input.size: expected a whole number, found nothing"),
        ({"crop": None}, "input.crop: expected an object, found nothing"),
        ({"margin": 3}, "input: expected the keys size, color, mean, std, crop, found also 'margin'"),
        ({"size": 0}, "whole number of pixels in 1..4096, got 0"),
        ({"size": 48.0}, "input.size: expected a whole number, found 48.0"),
        ({"size": True}, "input.size: expected a whole number, found True"),
        ({"color": "bgr"}, "expected one of gray, rgb, got 'bgr'"),
        ({"color": []}, "input.color: expected text, found a list of 0"),
        ({"std": 0}, "std above 0"),
        ({"mean": "0.5"}, "input.mean: expected a number, found '0.5'"),
        ({"mean": float("nan")}, "input.mean: expected a number, found nan"),
        ({"crop": 3}, "input.crop: expected an object, found 3"),
    ],
)
def test_a_bad_contract_says_what_is_expected(change, message):
    values = {key: value for key, value in (to_plain(GRAY) | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        from_plain(InputContract, values, "input")
