"""From whatever holds a photo to upright 8-bit RGB pixels, or to one clear error."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from io import BytesIO, TextIOBase, UnsupportedOperation
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from crossfer.images.signatures import what_it_is


class Readable(Protocol):
    """An open file, or what can be read like one: an upload, ``io.BytesIO``."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; none at the end."""
        ...


ImageSource = str | Path | bytes | bytearray | memoryview | Readable | Image.Image | np.ndarray

MAX_PIXELS = 100_000_000
MAX_BYTES = 1 << 30
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_SEVERAL = "several images go to recognize_batch or classify"
_HINTS: dict[type, str] = {
    type(None): "; cv2.imread gives None for a file that it cannot read: give the path itself",
    list: f"; {_SEVERAL}",
    tuple: f"; {_SEVERAL}",
}

_EIGHT_BIT_MODES = frozenset({"1", "L", "RGB", "RGBX", "CMYK", "YCbCr"})
_SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16L", "I;16B"})

_PART = 1 << 18  # pixels
_PIECE = 1 << 20  # bytes
_LONGEST_PATH = 4096  # characters
_LONGEST_NAME = 255  # characters
_NO_PATH = ("data:", "/9j/", "iVBORw0KGgo")  # how data URIs, and JPEG and PNG in base64, begin
_DECODERS_NEED = 10  # bytes a pixel at most, those of progressive JPEG for one
_EXIF_ORIENTATION = 0x0112
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels[::-1].swapaxes(0, 1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels[:, ::-1].swapaxes(0, 1),
}


class ImageError(ValueError):
    """An image that cannot be used; the message names it and says what was expected and found."""


def load_image(source: ImageSource) -> np.ndarray:
    """Reads an image as upright RGB pixels.

    EXIF orientation is applied. Transparent pixels are composited over white, as a viewer shows them. 16-bit
    grey is scaled to 8 bit over its full range. Of several frames or pages the first counts.

    Args:
        source: a path; the bytes of an image file; a file that is open for reading bytes, which is read from
            where it stands; a PIL image; or uint8 pixels of shape (H, W, 3) in RGB, (H, W) or (H, W, 1) in
            grey.

    Returns:
        uint8 RGB, shape (H, W, 3), contiguous; an array that already is comes back as it is.

    Raises:
        ImageError: if the source is missing, empty, truncated, corrupt, no image in one of ``FORMATS``, of a
            pixel mode without an agreed range (32-bit, float), or larger than ``MAX_PIXELS`` pixels or
            ``MAX_BYTES`` bytes.
        MemoryError: if there is too little memory for it; the message names the source.
        TypeError: if the source is none of the accepted kinds.
    """
    match source:
        case np.ndarray():
            # As a plain array: np.matrix takes no third axis, and a masked array would keep its mask.
            return _check_array(np.asarray(source))
        case Image.Image():
            _check_size(source.width, source.height, "PIL image")
            with _at(source):
                return to_pixels(source, "PIL image")
        case bytes() | bytearray() | memoryview():
            return decode(_content(source), "image bytes")
        case str() | Path():
            refuse_text(str(source))
            _refuse_address(str(source))
            return decode(_read(Path(source)), str(source))
    if hasattr(source, "read"):
        return decode(_read_open(source), "open file")
    raise TypeError(
        "expected a path, bytes, an open file, a PIL image or a uint8 array, "
        f"got {type(source).__name__}{_HINTS.get(type(source), '')}"
    )


def _at(image: Image.Image) -> threading.RLock:
    """Pillow reads pixels and EXIF when they are first asked for, which two threads must not do at once."""
    return _locks[id(image) // 64 % len(_locks)]  # images lie 64 bytes apart


def _renew_locks() -> None:
    """In the child of a fork a lock that another thread held would be held for ever."""
    _locks[:] = _new_locks()


def _new_locks() -> list[threading.RLock]:
    return [threading.RLock() for _ in range(256)]  # reentrant: the file of one image may read another


_locks = _new_locks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def _check_array(array: np.ndarray) -> np.ndarray:
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
    if array.dtype != np.uint8 or not (grey or (array.ndim == 3 and array.shape[2] == 3)):
        raise ImageError(
            f"expected uint8 pixels of shape (H, W, 3) in RGB, or (H, W) in grey, got {array.dtype} of shape "
            f"{array.shape}; {_as_pixels(array)}"
        )
    _check_size(array.shape[1], array.shape[0], "array")
    if grey:
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(array)


def _as_pixels(array: np.ndarray) -> str:
    """What to do about an array that is not what was expected, as a line of code where there is one."""
    channels_first = array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] > 4
    if array.ndim == 4 or (array.ndim == 3 and not channels_first and array.shape[2] > 4):
        return _SEVERAL
    kind, size = array.dtype.kind, array.dtype.itemsize  # in any order of bytes
    picture = array.ndim == 2 or (array.ndim == 3 and (channels_first or array.shape[2] in (1, 3, 4)))
    four = array.ndim == 3 and array.shape[0 if channels_first else 2] == 4
    steps = [
        ("an encoded file", "{}.tobytes()", array.ndim == 1 and array.dtype == np.uint8),
        ("values from 0 to 1", "(255 * {}).round().astype('uint8')", picture and kind in "fb"),
        ("16-bit values", "({} // 257).astype('uint8')", picture and kind == "u" and size == 2),
        (
            "values from 0 to 255",
            "{}.astype('uint8')",
            picture and (kind == "i" or (kind == "u" and size > 2)),
        ),
        ("channels first", "{}.transpose(1, 2, 0)", channels_first),
        ("four channels", "{}[:, :, :3]", four),
    ]
    line, found = "a", list[str]()
    for what, step, holds in steps:
        if holds:
            line = step.format(line)
            found.append(what)
    return f"for {', '.join(found)}, give {line}" if found else "convert it first"


def _check_size(width: int, height: int, name: str, max_pixels: int = MAX_PIXELS) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"{name}: expected at least one pixel, found {width} x {height}")
    if width * height > max_pixels:
        raise ImageError(
            f"{name}: expected at most {max_pixels / 10**6:g} megapixels, found {width} x {height}; "
            "scale it down first"
        )


def refuse_text(name: str) -> None:
    """Refuses a text that is no path but may be an image, of which nothing but the beginning is told.

    Raises:
        ImageError: if it is longer than any path, or names no file and either begins as images in base64
            and data URIs do, or is longer than a file's name and has no dot, which base64 never has.
    """
    no_path = name.lstrip().startswith(_NO_PATH) or (len(name) > _LONGEST_NAME and "." not in name)
    if len(name) > _LONGEST_PATH or (no_path and not os.path.lexists(name)):
        raise ImageError(
            f"expected a path, found a text of {len(name):,} characters that begins {name[:30]!r}; if it is "
            "base64, give the bytes: base64.b64decode of what follows the comma, if there is one"
        )


def _refuse_address(name: str) -> None:
    if "://" in name and not os.path.lexists(name):
        raise ImageError(f"{name}: expected a file, found an address, which is not fetched; give its content")


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            os.scandir(path).close()  # or it says why the folder cannot be read
            raise ImageError(
                f"{path}: expected an image file, found a directory; name files, or a folder that holds some "
                f"({', '.join(sorted(SUFFIXES))})"
            )
        if not path.exists():
            raise ImageError(f"{path}: no such file; check the path")
        if not path.is_file():
            raise ImageError(
                f"{path}: expected a regular file, found a device or pipe; copy its content to a file"
            )
        if path.stat().st_size > MAX_BYTES:
            raise ImageError(
                f"{path}: expected at most {MAX_BYTES >> 20} MiB, found {path.stat().st_size >> 20} MiB; "
                "save the image in a smaller size"
            )
        return path.read_bytes()
    except MemoryError as error:
        raise _no_memory(str(path)) from error
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ImageError(f"{path}: cannot be read ({reason}); check the path and its permissions") from error


def _content(held: bytes | bytearray | memoryview) -> bytes:
    try:
        return bytes(held)
    except ValueError as error:
        raise ImageError("image bytes: expected a memoryview in use, found one released; keep it") from error


def _read_open(file: Readable) -> bytes:
    """What is left in an open file, and no more than the first byte beyond what a file may have."""
    if isinstance(file, TextIOBase):
        raise TypeError("expected a file opened for bytes, got one opened for text; open it with mode 'rb'")
    content = bytearray()
    try:
        while len(content) <= MAX_BYTES:
            piece = file.read(min(_PIECE, MAX_BYTES + 1 - len(content)))
            if not isinstance(piece, bytes):
                raise TypeError(
                    f"expected bytes from {type(file).__name__}.read, got {type(piece).__name__}; "
                    "give the content itself"
                )
            if not piece:
                break
            content += piece
    except TypeError:
        raise
    except MemoryError as error:
        raise _no_memory("open file") from error
    except Exception as error:  # members of archives raise nearly anything when these are damaged
        wrong_mode = isinstance(error, UnicodeDecodeError | UnsupportedOperation)
        remedy = "open it with mode 'rb'" if wrong_mode else "open or obtain it again"
        reason = str(error) or type(error).__name__
        raise ImageError(f"open file: cannot be read ({reason}); {remedy}") from error
    if not content:
        raise ImageError("open file: expected an image, found nothing left to read; file.seek(0) goes back")
    return bytes(content)


def decode(data: bytes, name: str) -> np.ndarray:
    """Reads the bytes of an image file as ``load_image`` does.

    Args:
        data: the content of the file.
        name: what errors call it.

    Raises:
        ImageError, MemoryError: as ``load_image`` raises them.
    """
    with open_image(data, name) as image:
        return to_pixels(image, name)


def open_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """An image file's header, read and checked; its pixels are still to be decoded.

    Args:
        data: content of the file.
        name: what errors call it.
        max_pixels: images of more pixels are refused.

    Raises:
        ImageError: if it is no image in one of ``FORMATS``, or too large.
        MemoryError: if there is too little memory for it.
    """
    if not data:
        raise ImageError(f"{name}: expected an image, found nothing (0 bytes); obtain it again")
    if len(data) > MAX_BYTES:
        raise ImageError(f"{name}: expected at most {MAX_BYTES >> 20} MiB, found {len(data) >> 20} MiB")
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large_for_pillow(name, error, max_pixels) from error
    except Image.UnidentifiedImageError as error:
        what, remedy = what_it_is(data)
        raise ImageError(
            f"{name}: expected a JPEG, PNG, WebP, BMP or TIFF image, found {what}; {remedy}"
        ) from error
    except MemoryError as error:
        raise _no_memory(name) from error
    except Exception as error:  # decoders raise nearly anything when a header lies
        raise _corrupt(name, error) from error
    _check_size(image.width, image.height, name, max_pixels)
    return image


def to_pixels(image: Image.Image, name: str) -> np.ndarray:
    """Decodes an image into upright RGB pixels, uint8 of shape (H, W, 3).

    Raises:
        ImageError: if the image is damaged, or its pixels have no agreed range.
        MemoryError: if there is too little memory for it.
    """
    try:
        image.load()
        return _upright(_rgb(image, name), image)
    except ImageError:
        raise
    except MemoryError as error:
        raise _no_memory(name) from error
    except Exception as error:  # decoders raise nearly anything when the data is damaged
        _need_memory(image, name)
        raise _corrupt(name, error) from error


def scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """Width and height of an image after scaling, in whole pixels, at least one each.

    >>> scaled((640, 3), 0.1)
    (64, 1)
    """
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _rgb(image: Image.Image, name: str) -> np.ndarray:
    """The pixels as they are stored, converted a part at a time: whole copies cost 7 bytes a pixel."""
    convert = _conversion(image, name)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _PART // image.width)
    # Every part copies the texts of its image, which may be tens of thousands: so of one without them.
    bare = Image.Image()
    vars(bare).update(vars(image))  # the same pixels; the image itself may be somebody's, and stays whole
    bare.info = {key: image.info[key] for key in image.info if key == "transparency"}
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        pixels[top:bottom] = np.asarray(convert(bare.crop((0, top, image.width, bottom))))
    return pixels


def _conversion(image: Image.Image, name: str) -> Callable[[Image.Image], Image.Image]:
    """From a part of the image to RGB."""
    if image.mode in _SIXTEEN_BIT_MODES:
        return _to_eight_bit
    if image.has_transparency_data:
        return _over_white
    if image.mode in _EIGHT_BIT_MODES or image.mode == "P":
        return lambda part: part.convert("RGB")
    raise ImageError(
        f"{name}: expected 8-bit or 16-bit pixels, found mode {image.mode!r}; convert it to 8-bit RGB"
    )


def _corrupt(name: str, error: Exception) -> ImageError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ImageError(
        f"{name}: expected a whole image, found a truncated or corrupt one ({reason}); obtain it again"
    )


def _too_large_for_pillow(name: str, error: Exception, max_pixels: int) -> ImageError:
    """Pillow warns beyond a limit of its own, and fails beyond its double; hosts may have lowered it."""
    limit = Image.MAX_IMAGE_PIXELS or max_pixels
    allowed = limit if isinstance(error, Image.DecompressionBombWarning) else 2 * limit
    if allowed >= max_pixels:
        return ImageError(
            f"{name}: expected at most {max_pixels / 10**6:g} megapixels, found far more; scale it down first"
        )
    return ImageError(
        f"{name}: expected at most {allowed / 10**6:.4g} megapixels, found more; it is Pillow's limit that "
        f"is so low here (PIL.Image.MAX_IMAGE_PIXELS = {limit}): raise that, or scale the image down"
    )


def _need_memory(image: Image.Image, name: str) -> None:
    """Some decoders say that the data is damaged where they get no memory."""
    try:
        np.empty(_DECODERS_NEED * image.width * image.height, np.uint8)
    except MemoryError as error:
        raise _no_memory(name) from error


def _no_memory(name: str) -> MemoryError:
    return MemoryError(f"{name}: expected memory to decode it, found too little; free some, or scale it down")


def _upright(pixels: np.ndarray, image: Image.Image) -> np.ndarray:
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION)
    except MemoryError:
        raise
    except Exception:  # damaged EXIF is no reason to refuse whole pixels
        return pixels
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def _to_eight_bit(image: Image.Image) -> Image.Image:
    """Divides by 257, so that 0 stays 0 and 65535 becomes 255; Pillow's own conversion would clip at 255."""
    values = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    # Pillow knows no way from grey with premultiplied transparency to colour.
    coloured = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("RGB")
