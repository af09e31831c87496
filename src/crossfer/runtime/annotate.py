"""Draws what was recognised: boxes, expressions, evidence over the faces, and a panel of probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from crossfer.figure import ANNOTATED, BLUE, GREEN, ORANGE, PURPLE, SKY, SOFTWARE, VERMILION, YELLOW, ink_on
from crossfer.images.read import scaled
from crossfer.runtime.align import CropGeometry, crop_square, cut_square
from crossfer.runtime.fonts import Font, font_for
from crossfer.runtime.percent import percent
from crossfer.system.atomic import write_atomically
from crossfer.types import Face

FACE_COLORS = (SKY, ORANGE, GREEN, YELLOW, PURPLE, VERMILION, BLUE)  # one a face
# Evidence for and against: orange and blue, which colour-blind readers tell apart.
FOR, AGAINST = (255, 150, 0), (20, 90, 255)
STRONGEST = 170  # opacity of the strongest cell, of 255: the face must stay visible
PANEL, INK, MUTED, TRACK = "#14181D", "#FFFFFF", "#9FAAB5", "#343D46"

# Longer side of the drawn photo in pixels: large enough for text, small enough for memory.
MIN_SIDE, MAX_SIDE = 1024, 2048
PANEL_UNITS = 42  # width of the panel in hundredths of the photo's longer side
SMALL, LARGE = 14, 38  # side of the picture in a card, in such hundredths too
BARS = 4
NAME_UNITS = 1.6  # size of the letters of a name beside its bar


def annotate(image: np.ndarray, faces: Sequence[Face], geometry: CropGeometry) -> Image.Image:
    """Draws faces onto a copy of an image and adds a panel at its right with a card for each face that fits.

    The translucent map over a face shows the evidence for the expression recognised there: orange areas speak
    for it rather than for the other expressions, blue ones against it; strength is relative to the strongest
    cell of that face.

    Args:
        image: uint8 RGB, shape (H, W, 3).
        faces: as recognised in that image, largest first.
        geometry: how the model's crop lies on a face (``Recognizer.meta.input.crop``).

    Returns:
        RGB; the photo with a longer side of ``MIN_SIDE`` to ``MAX_SIDE`` pixels, and the panel beside it.
    """
    longer = max(image.shape[:2])
    zoom = min(max(longer, MIN_SIDE), MAX_SIDE) / longer
    photo = Image.fromarray(image)
    photo = photo.resize(scaled(photo.size, zoom), Image.Resampling.LANCZOS)
    unit = max(photo.size) / 100  # every length of the drawing is in hundredths of the photo's longer side
    for face in reversed(faces):
        _lay_evidence(photo, face, geometry, zoom)
    for number, face in reversed(list(enumerate(faces, start=1))):
        draw_face(photo, face, number, zoom, unit)
    return _beside(photo, _panel(image, faces, geometry, photo.height, unit))


def save_png(image: Image.Image, path: Path) -> None:
    """Writes a PNG file that is either whole or not there, and says that it is ours.

    Raises:
        OSError: if the folder does not exist or cannot be written.
    """
    buffer, made_by = BytesIO(), PngInfo()
    made_by.add_text(SOFTWARE, ANNOTATED)
    image.save(buffer, "PNG", pnginfo=made_by)
    write_atomically(path, buffer.getvalue())


def _beside(photo: Image.Image, panel: Image.Image) -> Image.Image:
    whole = Image.new("RGB", (photo.width + panel.width, max(photo.height, panel.height)), PANEL)
    whole.paste(photo, (0, (whole.height - photo.height) // 2))
    whole.paste(panel, (photo.width, 0))
    return whole


def _lay_evidence(photo: Image.Image, face: Face, geometry: CropGeometry, zoom: float) -> None:
    """Blends the evidence map over the part of the photo that the model saw."""
    x, y, width, height = (value * zoom for value in seen_region(face, geometry))
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(photo.width, round(x + width)), min(photo.height, round(y + height))
    if right <= left or bottom <= top:
        return
    shares = ((left - x) / width, (top - y) / height, (right - x) / width, (bottom - y) / height)
    cells = face.prediction.evidence_for(face.expression)
    colors, opacity = evidence_layers(cells, (right - left, bottom - top), shares)
    photo.paste(colors, (left, top), opacity)


def seen_region(face: Face, geometry: CropGeometry) -> tuple[float, float, float, float]:
    """Left, top, width, height of what the model saw, in pixels of the image."""
    if _whole(face):
        return face.box.x, face.box.y, face.box.width, face.box.height
    square = crop_square(face.box, face.landmarks, geometry)
    return square.left, square.top, square.side, square.side


def _whole(face: Face) -> bool:
    """Whether the model saw the whole image, as where no detector ran."""
    return not face.landmarks and face.detection_score is None


def evidence_layers(
    cells: np.ndarray, size: tuple[int, int], shares: tuple[float, float, float, float] = (0, 0, 1, 1)
) -> tuple[Image.Image, Image.Image]:
    """Colour and opacity of an evidence map: orange for, blue against, relative to its strongest cell.

    Args:
        cells: (G, G), as ``Prediction.evidence_for`` gives them.
        size: (width, height) in pixels to which the map is smoothly enlarged.
        shares: (left, top, right, bottom) of the visible part of the map, as fractions of its sides.

    Returns:
        An RGB image and its opacity, to paste over a face.
    """
    cells = cells / max(float(np.abs(cells).max()), 1e-12)
    grid = len(cells)
    left, top, right, bottom = (min(max(share, 0.0), 1.0) * grid for share in shares)
    enlarged = Image.fromarray(cells.astype(np.float32)).resize(
        size, Image.Resampling.BICUBIC, box=(left, top, right, bottom)
    )
    values = np.clip(np.asarray(enlarged), -1, 1)[:, :, None]
    colors = np.where(values > 0, FOR, AGAINST).astype(np.uint8)
    opacity = (np.abs(values[:, :, 0]) * STRONGEST).astype(np.uint8)
    return Image.fromarray(colors), Image.fromarray(opacity)


def draw_face(photo: Image.Image, face: Face, number: int, zoom: float, unit: float) -> None:
    """Outlines a face and labels it above its box, or below it, or inside where there is no room at all.

    Args:
        photo: drawn into.
        face: in pixels of the image that ``photo`` is an enlargement of.
        number: part of the label; also chooses the colour.
        zoom: pixels of ``photo`` per pixel of that image.
        unit: a hundredth of the photo's longer side in pixels, which scales lines and letters.
    """
    draw = ImageDraw.Draw(photo)
    color = _color(number)
    left, top = face.box.x * zoom, face.box.y * zoom
    right, bottom = left + face.box.width * zoom, top + face.box.height * zoom
    line = max(2, round(unit * 0.35))
    draw.rounded_rectangle(
        (left, top, max(right, left), max(bottom, top)), radius=unit, outline=color, width=line
    )
    letter = min(max((right - left) * 0.13, unit * 1.7), unit * 2.6)
    text = f"{number}  {_in_a_line(face.prediction.answer)} {percent(face.confidence)}"
    font = font_for(text, letter)
    width, height = draw.textlength(text, font) + unit * 1.4, letter * 1.55
    x = min(max(left, 0), max(0, photo.width - width))
    above, below = top - height - line, max(bottom, top) + line
    y = above if above >= 0 else below if below + height <= photo.height else max(0, top + line)
    draw.rounded_rectangle((x, y, x + width, y + height), radius=height * 0.3, fill=color)
    draw.text((x + width / 2, y + height / 2), text, fill=ink_on(color), font=font, anchor="mm")


def _panel(
    image: np.ndarray, faces: Sequence[Face], geometry: CropGeometry, photo_height: int, unit: float
) -> Image.Image:
    """A column with a card for each face that fits into the photo's height, and the key to the colours."""
    # A lone face gets the room that the photo's height leaves for it.
    large = len(faces) == 1 and photo_height >= unit * (LARGE + 26)
    card_height, margin, key_height = round(unit * (SMALL + 3)), round(unit * 2), round(unit * 6)
    shown = min(len(faces), max(1, (photo_height - margin - key_height) // card_height))
    height = max(photo_height, margin + max(1, shown) * card_height + key_height)
    panel = Image.new("RGB", (round(unit * PANEL_UNITS), height), PANEL)
    for index, face in enumerate(faces[:shown]):
        _draw_card(
            panel, _seen(image, face, geometry), face, index + 1, margin + index * card_height, large=large
        )
    hidden = len(faces) - shown
    note = f"and {hidden} smaller" if hidden else "" if faces else "no face found"
    draw = ImageDraw.Draw(panel)
    draw.text((margin, height - key_height), note, fill=MUTED, font=font_for(note, unit * 1.7))
    if faces:
        _draw_key(draw, margin, height - unit * 3, unit)
    return panel


def _draw_card(
    panel: Image.Image, seen: Image.Image, face: Face, number: int, top: int, *, large: bool
) -> None:
    """What the model saw of one face, the evidence over it, and the likeliest expressions beside or below."""
    unit = panel.width / PANEL_UNITS
    draw = ImageDraw.Draw(panel)
    margin, side, color = round(unit * 2), round(unit * (LARGE if large else SMALL)), _color(number)
    seen = seen.resize((side, side), Image.Resampling.BICUBIC)
    colors, opacity = evidence_layers(face.prediction.evidence_for(face.expression), seen.size)
    seen.paste(colors, (0, 0), opacity)
    panel.paste(seen, (margin, top))
    draw.rectangle((margin, top, margin + side, top + side), outline=color, width=max(2, round(unit * 0.3)))
    x, right = (margin if large else margin * 2 + side), panel.width - margin
    top += side + margin if large else 0
    title = f"{number}  {_in_a_line(face.prediction.answer)}"
    font = font_for(title, unit * 2.6)
    draw.text((x, top), _cut(title, font, right - x), fill=color, font=font)
    likeliest = [(_in_a_line(name), probability) for name, probability in face.prediction.top(BARS)]
    widest = max(font_for(name, unit * NAME_UNITS).getlength(name) for name, _ in likeliest)
    start = x + min(max(unit * 8.5, widest + unit), (right - x) / 2)
    for row, likely in enumerate(likeliest):
        y = top + unit * (4.4 + 2.5 * row)
        _draw_bar(draw, (x, y, start, right), likely, color if row == 0 else MUTED, unit)


def _draw_bar(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float, float, float],
    likely: tuple[str, float],
    color: str,
    unit: float,
) -> None:
    """One line of a card, at (left, top, where the bar starts, right): expression, bar and probability."""
    (left, top, start, right), (name, probability) = place, likely
    size, middle = unit * NAME_UNITS, top + unit
    ink, font = MUTED if color == MUTED else INK, font_for(name, size)
    draw.text((left, middle), _cut(name, font, start - unit - left), fill=ink, font=font, anchor="lm")
    number = font_for(percent(probability), size)
    draw.text((right, middle), percent(probability), fill=ink, font=number, anchor="rm")
    widest = draw.textlength(percent(0.99999), number)
    end, half = right - widest - unit * 0.8, unit * 0.45
    draw.rounded_rectangle((start, middle - half, end, middle + half), radius=half, fill=TRACK)
    if probability * (end - start) >= 1:
        end = max(start + (end - start) * probability, start + 2 * half)
        draw.rounded_rectangle((start, middle - half, end, middle + half), half, fill=color)


def _in_a_line(name: str) -> str:
    return name.replace("\n", " ")  # nobody knows how wide several lines are


def _cut(text: str, font: Font, room: float) -> str:
    """The text, or as much of its beginning as has room, in pixels, with an ellipsis."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(f"{text}…") > room:
        text = text[:-1]
    return f"{text.rstrip()}…"


def _draw_key(draw: ImageDraw.ImageDraw, left: float, middle: float, unit: float) -> None:
    for color, text in ((FOR, "speaks for it"), (AGAINST, "speaks against it")):
        font = font_for(text, unit * 1.5)
        draw.rectangle((left, middle - unit * 0.7, left + unit * 1.4, middle + unit * 0.7), fill=color)
        draw.text((left + unit * 2, middle), text, fill=MUTED, font=font, anchor="lm")
        left += unit * 4 + draw.textlength(text, font)


def _seen(image: np.ndarray, face: Face, geometry: CropGeometry) -> Image.Image:
    """What the model saw of a face, in colour."""
    if _whole(face):
        return Image.fromarray(image)
    return Image.fromarray(cut_square(image, crop_square(face.box, face.landmarks, geometry)))


def _color(number: int) -> str:
    return FACE_COLORS[(number - 1) % len(FACE_COLORS)]
