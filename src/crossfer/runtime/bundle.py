"""The bundle: one ``.onnx`` file that says what it expects, what it answers and where it comes from.

The ONNX property ``crossfer`` holds JSON with the fields of ``BundleMeta`` and ``"format": 2``. The graph has
the input ``image`` (B, C, S, S) and the outputs ``logits`` (B, K) and ``evidence`` (B, K, G, G), all float32.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnxruntime

from crossfer.calibration import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, Calibration
from crossfer.labels import LABEL_SETS, LabelSet, can_be_shown
from crossfer.models import embedded, names
from crossfer.runtime.external_data import external_files
from crossfer.runtime.inference import session_options
from crossfer.runtime.preprocess import InputContract
from crossfer.runtime.protobuf import fields, message
from crossfer.runtime.session import BundleError, ModelSession
from crossfer.stored import from_plain, to_plain
from crossfer.system.atomic import write_atomically

FORMAT = 2
METADATA_KEY = "crossfer"
# Field numbers of onnx.proto3: ModelProto.metadata_props; StringStringEntryProto.key and .value.
_PROPERTIES, _PROPERTY_KEY, _PROPERTY_VALUE = 14, 1, 2


@dataclass(frozen=True)
class BundleMeta:
    """What a bundle says about itself.

    Attributes:
        name: name of the model, printable, as are the labels.
        label_set: name of the label set, such as ``"ferplus"``.
        labels: expressions in class order.
        input: what the model expects to be fed.
        temperature: logits are divided by it before the softmax; 0.05 to 20.
        grid: G, cells along a side of the evidence.
        provenance: recipe, data, protocol, scores, commit, license and the like, as plain values.
        calibration: what ``crossfer calibrate`` fitted: sets, abstention, bias; None before that.
    """

    name: str
    label_set: str
    labels: tuple[str, ...]
    input: InputContract
    temperature: float
    grid: int
    provenance: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        for key, texts in (("name", (self.name,)), ("labels", self.labels)):
            if not all(map(can_be_shown, texts)):
                raise ValueError(f"{key}: expected printable text, found {', '.join(map(repr, texts))}")
        known = LABEL_SETS.get(self.label_set)
        if known is not None and known.expressions != self.labels:
            raise ValueError(
                f"labels: expected those of {self.label_set} in order ({', '.join(known.expressions)}), "
                f"found {', '.join(self.labels)}"
            )
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels: expected distinct expression names, found {list(self.labels)}")
        if not LOWEST_TEMPERATURE <= self.temperature <= HIGHEST_TEMPERATURE:
            raise ValueError(
                f"temperature: expected a number from {LOWEST_TEMPERATURE:g} to {HIGHEST_TEMPERATURE:g}, "
                f"found {self.temperature}"
            )
        if self.grid < 1:
            raise ValueError(f"grid: expected a whole number of at least 1, found {self.grid}")
        if self.bias and len(self.bias) != len(self.labels):
            raise ValueError(
                f"bias: expected one for each of {len(self.labels)} labels, found {len(self.bias)}"
            )

    @property
    def bias(self) -> tuple[float, ...]:
        """Added to each class's logit after division by the temperature; empty for none."""
        return () if self.calibration is None else self.calibration.bias

    @property
    def labelset(self) -> LabelSet:
        """The labels as a label set."""
        return LabelSet(self.label_set, self.labels)

    def to_json(self) -> str:
        """The text for the ONNX property ``crossfer``."""
        return json.dumps({"format": FORMAT, **to_plain(self)})

    @classmethod
    def from_json(cls, text: str) -> BundleMeta:
        """The inverse of ``to_json``.

        Keys beside those that ``to_json`` writes do not matter, but for those further in.

        Raises:
            ValueError: if the text is no JSON object, of another format, or lacks a key, or if a value is not
                as it has to be; the message says which.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"metadata: expected JSON, found other text ({error})") from error
        if not isinstance(values, dict):
            raise ValueError(f"metadata: expected a JSON object, found {type(values).__name__}")
        if values.get("format") != FORMAT:
            raise ValueError(
                f"metadata: expected format {FORMAT}, found {values.get('format')!r}; "
                "export the model again or install the crossfer version that wrote it"
            )
        known = {field.name: values.get(field.name) for field in dataclasses.fields(cls)}
        try:
            return from_plain(cls, known, "metadata")
        except ValueError as error:
            raise ValueError(f"{error}; export the model again") from error


@dataclass(frozen=True)
class Bundle:
    """A bundle that has been read and found whole.

    Attributes:
        meta: what it says about itself.
        path: where it was read from; None of one that was given as bytes.
        sha256: checksum of the content, hexadecimal.
        content: of the file.
        session: runs the graph.
    """

    meta: BundleMeta
    path: Path | None
    sha256: str
    content: bytes = field(repr=False, compare=False)
    session: ModelSession = field(repr=False, compare=False)


def resolve_model(model: str | Path) -> Path:
    """The file of a model: an embedded model by its name, such as ``"default"``, or a path as it is.

    Raises:
        BundleError: if there is no such file, or none that may be read, or it is a run's folder or weights,
            which are to be exported.
    """
    with _explained(model):
        return _resolve(model)


@contextmanager
def _explained(model: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BundleError(
            f"{model}: cannot be read ({error.strerror or error}); check the path and its permissions"
        ) from error


def _resolve(model: str | Path) -> Path:
    path = Path(model)
    if isinstance(model, str) and path.name == model and not path.suffix:
        if (ours := embedded(model, ".onnx")) is not None:
            return ours
        if not path.exists():
            raise BundleError(
                f"model {model!r}: expected a file or one of the embedded models ({names('.onnx')})"
            )
    if path.is_dir():
        raise BundleError(
            f"{path}: expected a model file, found a folder; if it is a run, export it first: "
            f"crossfer export {path} -o model.onnx"
        )
    if not path.is_file():
        if path.exists():
            raise BundleError(
                f"{path}: expected a regular file, found a pipe or device; write the model into a file first"
            )
        raise BundleError(f"{path}: no such model file; check the path")
    if path.suffix.lower() == ".safetensors":
        raise BundleError(
            f"{path}: expected a model, found weights; export them first: "
            f"crossfer export {path} -o model.onnx"
        )
    return path


def read_bundle(model: str | Path | bytes, *, threads: int | None = None) -> Bundle:
    """Reads a bundle and checks that graph and metadata agree.

    Args:
        model: the name of an embedded model, a path, or the content of a bundle's file.
        threads: CPU threads of the session; None for one a core, within a container's share.

    Raises:
        BundleError: if the file is missing, cannot be read, is no ONNX file, truncated, without metadata, of
            another format, keeps weights in other files, or if its labels, inputs or outputs are not as the
            metadata says.
    """
    if isinstance(model, bytes):
        path, name, content = None, "model", model
    else:
        path = resolve_model(model)
        with _explained(path):
            name, content = str(path), path.read_bytes()
    _refuse_external(content, name)
    session = _open_session(content, name, threads)
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise BundleError(
            f"{name}: expected a crossfer bundle, found an ONNX file without the property {METADATA_KEY!r} "
            "(labels, input contract, temperature); write one with: crossfer export RUN -o model.onnx"
        )
    try:
        meta = BundleMeta.from_json(text)
    except ValueError as error:
        raise BundleError(f"{name}: {error}") from error
    _check_graph(session, meta, name)
    sha256 = hashlib.sha256(content).hexdigest()
    return Bundle(meta, path, sha256, content, ModelSession(session, meta.name, len(meta.labels), meta.grid))


def with_metadata(model: bytes, meta: BundleMeta) -> bytes:
    """The same ONNX file with other metadata; its graph stays as it is, byte for byte.

    Args:
        model: content of an ``.onnx`` file.
        meta: replaces the metadata that the file may have.

    Raises:
        BundleError: if the bytes are no ONNX file.
    """
    key = METADATA_KEY.encode()
    try:
        kept = [
            raw
            for number, payload, raw in fields(model)
            if number != _PROPERTIES or (_PROPERTY_KEY, key) not in [part[:2] for part in fields(payload)]
        ]
    except IndexError as error:
        raise BundleError("expected a whole ONNX file, found other bytes; obtain it again") from error
    entry = message(_PROPERTY_KEY, key) + message(_PROPERTY_VALUE, meta.to_json().encode())
    return b"".join([*kept, message(_PROPERTIES, entry)])


def write_bundle(model: bytes, meta: BundleMeta, output: Path) -> None:
    """Writes a model with its metadata, whole or not at all, once it has been read as a bundle.

    Args:
        model: content of an ``.onnx`` file.
        meta: replaces the metadata that the file may have.
        output: the ``.onnx`` file to write; its folder is made if it is not there.

    Raises:
        BundleError: if the two do not agree.
        OSError: if the file cannot be written.
    """
    content = with_metadata(model, meta)
    read_bundle(content)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output, content)


def _refuse_external(model: bytes, name: str) -> None:
    """ONNX Runtime would take weights outside from the current folder, whatever lies there by that name."""
    if b"location" not in model:  # the key of every such file; to go through all nodes takes 40 ms
        return
    try:
        outside = next(external_files(model), None)
    except (IndexError, RecursionError):
        return  # no ONNX file, which ONNX Runtime tells
    if outside is not None:
        raise BundleError(
            f"{name}: expected a bundle in one file, found weights outside it ({outside}); save it as one "
            "file, as onnx.save(onnx.load(F), G) does"
        )


def _open_session(model: bytes, name: str, threads: int | None) -> onnxruntime.InferenceSession:
    options = session_options(threads)
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
        reason = " ".join(str(error).split())
        raise BundleError(
            f"{name}: expected a whole ONNX file, found a truncated or other one ({reason}); obtain it again"
        ) from error


def _check_graph(session: onnxruntime.InferenceSession, meta: BundleMeta, name: str) -> None:
    classes, grid = len(meta.labels), meta.grid
    expected = {"image": meta.input.shape, "logits": (classes,), "evidence": (classes, grid, grid)}
    inputs = session.get_inputs()
    found = {node.name: node for node in (*inputs, *session.get_outputs())}
    for key, shape in expected.items():
        if key not in found:
            raise BundleError(
                f"{name}: expected an input or output {key!r}, found only {', '.join(sorted(found))}"
            )
        node = found[key]
        if node.type != "tensor(float)":
            raise BundleError(f"{name}: expected {key!r} to be float32, found {node.type}")
        fits = len(node.shape) == 1 + len(shape) and all(
            size == given or not isinstance(given, int)
            for size, given in zip(shape, node.shape[1:], strict=True)
        )
        if not fits or isinstance(node.shape[0], int):
            raise BundleError(
                f"{name}: expected {key!r} of shape (batch, {', '.join(map(str, shape))}), found {node.shape}"
            )
    if len(inputs) > 1:
        raise BundleError(
            f"{name}: expected the input 'image' alone, found {', '.join(node.name for node in inputs)}; "
            "export the model with the others as constants"
        )
