import gzip
import io
import os
import signal
import struct
import tempfile
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, PngImagePlugin

from crossfer.images import read
from crossfer.images.read import FORMATS, ImageError, load_image, open_image

RGB = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of_size(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be of any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_every_kind_of_source_agrees(tmp_path):
    content = encoded(Image.fromarray(RGB))
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with path.open("rb") as file, path.open("rb", buffering=0) as raw:
        opened = (file, raw, io.BytesIO(content))
        held = (path, str(path), content, bytearray(content), memoryview(content))
        for source in (*held, *opened, Image.open(path), RGB):
            loaded = load_image(source)
            assert loaded.dtype == np.uint8
            assert loaded.flags.c_contiguous
            assert np.array_equal(loaded, RGB)


class Upload:
    """What web frameworks hand over: it can be read, and is nothing else."""

    def __init__(self, content: bytes | str) -> None:
        self.content, self.given = content, 0

    def read(self, size: int, /) -> bytes:
        self.given += min(size, 7)
        return self.content[self.given - min(size, 7) : self.given]  # pyright: ignore[reportReturnType]


def test_what_can_be_read_is_read_to_its_end_however_little_comes_at_once():
    assert np.array_equal(load_image(Upload(encoded(Image.fromarray(RGB)))), RGB)


def test_no_more_is_read_than_a_file_may_have(monkeypatch):
    monkeypatch.setattr(read, "MAX_BYTES", 100)
    endless = Upload(bytes(1000))
    with pytest.raises(ImageError, match=r"^open file: expected at most"):
        load_image(endless)
    assert endless.given == 101


def test_open_files_that_give_no_bytes(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(Image.fromarray(RGB)))
    with (
        path.open() as text,
        pytest.raises(TypeError, match="expected a file opened for bytes, got one opened"),
    ):
        load_image(text)  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        TypeError, match=r"^expected bytes from Upload.read, got str; give the content itself$"
    ):
        load_image(Upload("text"))
    with path.open("rb") as file:
        load_image(file)
        with pytest.raises(
            ImageError, match=r"^open file: .* nothing left to read; file\.seek\(0\) goes back$"
        ):
            load_image(file)
    with pytest.raises(ImageError, match=r"^open file: cannot be read \(read of closed file\)"):
        load_image(file)


def test_damage_in_an_archive_is_an_image_error():
    content, held = encoded(Image.fromarray(RGB)), io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("a.png", content)
    damaged = bytearray(held.getvalue())
    damaged[200] ^= 0xFF
    packed = bytearray(gzip.compress(content))
    packed[100:120] = bytes(20)
    with zipfile.ZipFile(io.BytesIO(damaged)) as archive, archive.open("a.png") as member:
        cut, broken = (gzip.GzipFile(fileobj=io.BytesIO(part)) for part in (packed[:90], packed))
        for file in (member, cut, broken):
            with pytest.raises(
                ImageError, match=r"^open file: cannot be read \(.+\); open or obtain it again$"
            ):
                load_image(file)


def test_a_file_that_was_opened_otherwise_is_told_the_mode(tmp_path):
    path = tmp_path / "photo.png"
    with path.open("wb") as file, pytest.raises(ImageError, match=r"; open it with mode 'rb'$"):
        load_image(file)
    path.write_bytes(encoded(Image.fromarray(RGB)))
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as text:  # is no text file, but wraps one
        Path(text.name).write_bytes(path.read_bytes())
        with pytest.raises(ImageError, match=r"; open it with mode 'rb'$"):
            load_image(text)  # pyright: ignore[reportArgumentType]


def test_a_memoryview_that_was_released():
    view = memoryview(encoded(Image.fromarray(RGB)))
    view.release()
    with pytest.raises(ImageError, match=r"^image bytes: expected a memoryview in use, found one released"):
        load_image(view)


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True})]
)
def test_lossless_formats_give_the_exact_pixels(kind, options):
    assert np.array_equal(load_image(encoded(Image.fromarray(RGB), kind, **options)), RGB)


def test_jpeg_agrees_with_pillow():
    content = encoded(Image.fromarray(RGB), "JPEG", quality=95)
    assert np.array_equal(load_image(content), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def test_grey_becomes_three_equal_channels():
    loaded = load_image(encoded(Image.fromarray(RGB[:, :, 0])))
    assert np.array_equal(loaded, np.repeat(RGB[:, :, :1], 3, axis=2))


def test_bilevel_becomes_black_and_white():
    loaded = load_image(encoded(Image.fromarray(RGB[:, :, 0]).convert("1")))
    assert set(np.unique(loaded)) == {0, 255}


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_over_its_full_range(kind):
    values = np.array([[0, 128, 257, 32768, 65535]], np.uint16)
    loaded = load_image(encoded(Image.fromarray(values), kind))
    assert loaded[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def test_sixteen_bit_colour_is_scaled_over_its_full_range():
    pixels = struct.pack(">3H", 65535, 32768, 0)
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    content += chunk(b"IDAT", zlib.compress(b"\0" + pixels)) + chunk(b"IEND", b"")
    assert load_image(content)[0, 0].tolist() == [255, 128, 0]


def test_transparent_pixels_lie_over_white():
    pixels = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [200, 0, 0, 128]]], np.uint8)
    loaded = load_image(encoded(Image.fromarray(pixels)))[0].tolist()
    assert loaded[:2] == [[200, 0, 0], [255, 255, 255]]
    assert loaded[2] == pytest.approx([227, 127, 127], abs=1)


def test_grey_with_alpha_and_palette_with_transparency():
    grey = Image.new("LA", (2, 1), (90, 0))
    grey.putpixel((0, 0), (90, 255))
    assert load_image(encoded(grey))[0].tolist() == [[90] * 3, [255] * 3]
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    assert load_image(encoded(palette))[0].tolist() == [[10, 20, 30], [40, 50, 60]]
    content = encoded(palette, transparency=1)
    assert load_image(content)[0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_premultiplied_transparency_lies_over_white():
    grey = Image.new("LA", (2, 1), (90, 0))
    grey.putpixel((0, 0), (90, 255))
    assert load_image(grey.convert("La"))[0].tolist() == [[90] * 3, [255] * 3]


def test_cmyk_agrees_with_pillow():
    cmyk = Image.fromarray(RGB).convert("CMYK")
    assert np.array_equal(load_image(encoded(cmyk, "TIFF")), np.asarray(cmyk.convert("RGB")))
    assert load_image(encoded(cmyk, "JPEG")).shape == RGB.shape


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_honoured(kind, orientation, tmp_path):
    corner = np.zeros((32, 48, 3), np.uint8)
    corner[:16, :16] = 255  # of the stored pixels, so every orientation moves it elsewhere
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(corner), kind, exif=exif)
    expected = [corner, corner[:, ::-1], corner[::-1, ::-1], corner[::-1]]
    expected += [
        turned.swapaxes(0, 1) for turned in (corner, corner[::-1], corner[::-1, ::-1], corner[:, ::-1])
    ]
    for source in (content, Image.open(io.BytesIO(content))):
        loaded = load_image(source)
        assert loaded.shape == expected[orientation - 1].shape
        assert np.abs(loaded.astype(int) - expected[orientation - 1]).mean() < 5


def test_damaged_exif_does_not_cost_the_pixels():
    content = encoded(
        Image.fromarray(RGB), "WEBP", lossless=True, exif=b"Exif\0\0nonsense that is no TIFF header"
    )
    assert np.array_equal(load_image(content), RGB)


def test_the_users_image_is_left_as_it_was():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(io.BytesIO(encoded(Image.fromarray(RGB), "JPEG", exif=exif)))
    load_image(image)
    assert image.size == (17, 12)
    assert image.getexif()[0x0112] == 6


def test_a_missing_file(tmp_path):
    with pytest.raises(ImageError, match=r"none\.png: no such file"):
        load_image(tmp_path / "none.png")


def test_an_address_is_not_fetched():
    with pytest.raises(ImageError, match=r"^https://example\.org/a\.png: expected a file, found an address"):
        load_image("https://example.org/a.png")


def test_a_directory(tmp_path):
    with pytest.raises(ImageError, match="found a directory"):
        load_image(tmp_path)


def test_an_empty_file(tmp_path):
    path = tmp_path / "empty.jpg"
    path.touch()
    with pytest.raises(ImageError, match=r"empty\.jpg: expected an image, found nothing \(0 bytes\)"):
        load_image(path)


def test_a_device_is_refused_without_reading_it():
    with pytest.raises(ImageError, match="expected a regular file"):
        load_image(os.devnull)


@pytest.mark.parametrize("path", ["a\0b.png", "x" * 4000 + ".png"])
def test_an_impossible_name(path):
    with pytest.raises(ImageError, match=r"cannot be read|no such file"):
        load_image(path)


@pytest.mark.parametrize(
    "start",
    [
        "data:image/png;base64,",
        "/9j/4AAQSkZJRg",
        "iVBORw0KGgoAAAANSUhEUg",
        "A\0" * 2500,
        " data:image/png;base64,",
        "UklGRiQ/AAAX",  # WebP
        "Qk02/gAA",  # BMP
        "_9j_4AAQ-kZJRg",  # JPEG, as addresses hold it
    ],
)
def test_a_text_that_is_no_path_is_not_repeated(start, tmp_path, monkeypatch):
    text = start + 400 * "AAAA"
    with pytest.raises(
        ImageError, match=r"^expected a path, found a text of [0-9,]+ characters that"
    ) as wrong:
        load_image(text)
    assert "base64.b64decode" in str(wrong.value)
    assert len(str(wrong.value)) < 250
    monkeypatch.chdir(tmp_path)
    Image.fromarray(RGB).save("data:a.png")
    assert np.array_equal(load_image("data:a.png"), RGB)


def test_text_is_no_image(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("not an image at all")
    with pytest.raises(
        ImageError, match=r"notes\.png: expected a JPEG, PNG, WebP, BMP or TIFF image, found something else"
    ):
        load_image(path)


@pytest.mark.parametrize("kind", ["GIF", "PPM", "PDF"])
def test_other_formats_are_refused(kind):
    with pytest.raises(ImageError, match="expected a JPEG, PNG, WebP, BMP or TIFF image"):
        load_image(encoded(Image.fromarray(RGB), kind))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_file(kind, share):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    with pytest.raises(ImageError, match=r"truncated or corrupt|found none"):
        load_image(content[: int(len(content) * share)])


def test_corrupt_pixel_data():
    content = bytearray(encoded(Image.fromarray(RGB)))
    content[content.index(b"IDAT") + 4] ^= 0xFF
    with pytest.raises(ImageError, match="truncated or corrupt"):
        load_image(bytes(content))


@pytest.mark.parametrize(("action", "limit"), [("ignore", 100), ("error", 200)])
def test_a_lower_limit_of_pillow_is_not_told_as_ours(action, limit, monkeypatch):
    """It fails beyond the double of that limit, and where warnings are errors beyond it."""
    content = encoded(Image.fromarray(RGB))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter(action, Image.DecompressionBombWarning)
        with pytest.raises(
            ImageError, match=rf"it: expected at most 0\.0002 megapixels, .*_PIXELS = {limit}\)"
        ):
            open_image(content, "it")
        with pytest.raises(ImageError, match=r"it: expected at most 0\.00015 megapixels, found far more;"):
            open_image(content, "it", max_pixels=150)


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (Path, "read_bytes"),
        (Image, "open"),
        (ImageFile.ImageFile, "load"),
        (Image.Image, "crop"),
        (Image.Image, "getexif"),
        (np, "empty"),
    ],
)
def test_want_of_memory_is_not_taken_for_damage(where, name, tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / "photo.png")

    def short(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(where, name, short)
    with pytest.raises(MemoryError, match=r"photo\.png: expected memory to decode it, found too little"):
        load_image(tmp_path / "photo.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("width", "height"), [(10_001, 10_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_more_than_100_megapixels_are_refused_from_the_header(width, height):
    with pytest.raises(ImageError, match="expected at most 100 megapixels"):
        load_image(png_of_size(width, height))


def test_an_array_of_more_than_100_megapixels():
    with pytest.raises(ImageError, match="expected at most 100 megapixels"):
        load_image(np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (10_001, 10_000, 3)))


def test_a_bomb_in_a_text_chunk():
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "A" * (PngImagePlugin.MAX_TEXT_CHUNK * 2), zip=True)
    content = encoded(Image.fromarray(RGB), pnginfo=info)
    with pytest.raises(ImageError, match="truncated or corrupt"):
        load_image(content)


def test_too_many_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "MAX_BYTES", 100)
    path = tmp_path / "large.png"
    path.write_bytes(bytes(101))
    for source in (path, bytes(101)):
        with pytest.raises(ImageError, match="expected at most"):
            load_image(source)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_modes_without_an_agreed_range_are_refused(mode):
    with pytest.raises(ImageError, match=f"found mode '{mode}'"):
        load_image(encoded(Image.new(mode, (3, 3)), "TIFF"))


@pytest.mark.parametrize(
    "array",
    [
        RGB.astype(np.float32),
        RGB[:, :, :2],
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.zeros((0, 5), np.uint8),
        np.zeros((), np.uint8),
        np.zeros((2, 2, 5, 5, 3), np.uint8),
        np.array([None, "a"]),
    ],
)
def test_arrays_of_another_kind_are_refused(array):
    with pytest.raises(ImageError, match="expected"):
        load_image(array)


@pytest.mark.parametrize("grey", [RGB[:, :, 0], RGB[:, :, :1], RGB[::-1, ::2, 1]])
def test_grey_arrays_are_grey_pictures(grey):
    loaded = load_image(grey)
    assert loaded.flags.c_contiguous
    assert np.array_equal(loaded, load_image(Image.fromarray(grey.reshape(grey.shape[:2]))))


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        ((RGB / 255).astype(np.float32), "values from 0 to 1"),
        (RGB / 255, "values from 0 to 1"),
        (RGB.astype(np.uint16) * 257, "16-bit values"),
        ((RGB.astype(np.uint16) * 257).astype(">u2"), "16-bit values"),
        (RGB.astype(np.int64), "values from 0 to 255"),
        (RGB.astype(">u4"), "values from 0 to 255"),
        (RGB.transpose(2, 0, 1), "channels first"),
        (RGB.transpose(2, 0, 1) / 255, "values from 0 to 1, channels first"),
        (np.dstack([RGB, RGB[..., :1]]), "four channels"),
        (np.dstack([RGB, RGB[..., :1]]).transpose(2, 0, 1), "channels first, four channels"),
        (np.frombuffer(encoded(Image.fromarray(RGB)), np.uint8), "an encoded file"),
    ],
)
def test_the_line_of_code_that_is_told_for_an_array_mends_it(array, kind):
    with pytest.raises(ImageError, match=rf"; for {kind}, give a?\(?") as wrong:
        load_image(array)
    line = str(wrong.value).partition(", give ")[2]
    assert np.array_equal(load_image(eval(line, {"a": array})), RGB)  # noqa: S307 - our own


@pytest.mark.parametrize("shape", [(), (9,), (9, 9, 2)])
@pytest.mark.parametrize("kind", [np.float32, np.uint16, np.int64])
def test_no_line_of_code_is_told_for_what_has_not_the_shape_of_a_picture(shape, kind):
    with pytest.raises(ImageError, match=r"; convert it first$"):
        load_image(np.zeros(shape, kind))


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("kind", [np.asmatrix, np.ma.masked_array])
def test_other_kinds_of_arrays_are_their_pixels(kind):
    loaded = load_image(kind(RGB[..., 0]))
    assert type(loaded) is np.ndarray
    assert np.array_equal(loaded, load_image(RGB[..., 0]))


def test_another_type_is_a_type_error():
    with pytest.raises(TypeError, match="got int"):
        load_image(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        TypeError, match=r"got NoneType; cv2\.imread gives None for a file that it cannot read"
    ):
        load_image(None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="got list; several images go to recognize_batch or classify"):
        load_image([RGB])  # pyright: ignore[reportArgumentType]


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_random_bytes_raise_nothing_but_image_error(content):
    with pytest.raises(ImageError):
        load_image(content)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of what it finds in damaged files
@given(st.sampled_from(FORMATS), st.data())
@settings(max_examples=300)
def test_damaged_files_raise_nothing_but_image_error(kind, data):
    content = bytearray(encoded(Image.fromarray(RGB), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        loaded = load_image(bytes(content))
    except ImageError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert loaded.ndim == 3


def test_paths_relative_to_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(encoded(Image.fromarray(RGB)))
    assert np.array_equal(load_image("a.png"), RGB)


def test_a_smaller_limit_on_pixels_may_be_asked_for():
    with open_image(encoded(Image.fromarray(RGB)), "it", 12 * 17) as image:
        assert image.size == (17, 12)
    with pytest.raises(ImageError, match=r"it: expected at most 0\.000203 megapixels, found 17 x 12"):
        open_image(encoded(Image.fromarray(RGB)), "it", 12 * 17 - 1)


@pytest.mark.parametrize("height", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I;16"])
def test_rows_converted_a_few_at_a_time_are_the_image_converted_whole(mode, height):
    random = np.random.default_rng(height)
    if mode == "I;16":
        grey = random.integers(0, 1 << 16, (height, 33), np.uint16)
        expected = np.stack([np.round(grey / 257).astype(np.uint8)] * 3, axis=2)
        assert np.array_equal(load_image(Image.fromarray(grey)), expected)
        return
    image = Image.fromarray(random.integers(0, 256, (height, 33, 4), np.uint8)).convert(mode)
    whole = image.convert("RGBA")
    expected = Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("RGB")
    assert np.array_equal(load_image(image), np.asarray(expected))


def test_texts_in_the_file_are_not_copied_for_each_part_and_parts_are_few(tmp_path, monkeypatch):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("key", "text")
    Image.new("L", (1, 1_000_000)).save(tmp_path / "a.png", pnginfo=texts)
    copied, left, crop = list[int](), list[dict[object, object]](), Image.Image.crop
    with Image.open(tmp_path / "a.png") as image:

        def watched(self: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
            copied.append(len(self.info))
            left.append(dict(image.info))
            return crop(self, box)

        monkeypatch.setattr(Image.Image, "crop", watched)
        assert load_image(image).shape == (1_000_000, 1, 3)
    assert len(copied) < 10
    assert set(copied) == {0}
    assert all(info == {"key": "text"} for info in left)  # another thread may be reading them


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("loaded", [False, True], ids=["not loaded", "loaded"])
def test_several_threads_may_read_one_image(kind, loaded):
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = Image.fromarray(np.random.default_rng(2).integers(0, 256, (150, 200, 3), np.uint8))
    content = encoded(noise.resize((1600, 1200)), kind, **({} if kind == "BMP" else {"exif": exif}))
    expected = load_image(content)
    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            image = Image.open(io.BytesIO(content))
            if loaded:
                image.load()
            for pixels in pool.map(load_image, [image] * 3):
                assert np.array_equal(pixels, expected)


def test_the_file_of_an_image_may_read_another_meanwhile():
    inner = Image.fromarray(RGB)

    class File(io.BytesIO):
        def read(self, *arguments):
            load_image(inner)
            return super().read(*arguments)

    outer = Image.open(File(encoded(Image.fromarray(RGB), "PNG")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "_at", lambda _: read._locks[0])
        assert np.array_equal(load_image(outer), RGB)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_a_process_forked_meanwhile_reads_images():
    """Another thread may be at one, whose lock nobody in the child lets go."""
    image = Image.fromarray(RGB)
    lock = read._at(image)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lock.acquire).result()
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            load_image(image)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        pool.submit(lock.release).result()


@pytest.mark.parametrize("short", [True, False])
def test_decoders_that_call_it_damage_are_asked_again(short, monkeypatch):
    def damaged(*_: object) -> None:
        raise OSError("broken data stream when reading image file")

    def full(size: int, *_: object) -> None:
        assert size == 10 * RGB[..., 0].size
        if short:
            raise MemoryError

    content = encoded(Image.fromarray(RGB))
    monkeypatch.setattr(ImageFile.ImageFile, "load", damaged)
    monkeypatch.setattr(np, "empty", full)
    with pytest.raises(MemoryError if short else ImageError, match=r"expected memory|truncated or corrupt"):
        load_image(content)
