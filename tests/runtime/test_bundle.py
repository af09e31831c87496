import dataclasses
import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from crossfer import models
from crossfer.calibration import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE
from crossfer.labels import FERPLUS, LABEL_SETS
from crossfer.runtime.bundle import (
    METADATA_KEY,
    BundleError,
    BundleMeta,
    read_bundle,
    resolve_model,
    with_metadata,
)
from crossfer.runtime.bundle import write_bundle as write_whole
from crossfer.runtime.external_data import external_files
from crossfer.runtime.protobuf import message
from crossfer.stored import to_plain
from support.bundles import calibration, tiny_graph, tiny_meta, write_bundle


def changed(**values) -> str:
    """The tiny bundle's metadata with some values changed, and those that are None left out."""
    plain = json.loads(tiny_meta().to_json()) | values
    return json.dumps({key: value for key, value in plain.items() if value is not None})


def test_a_bundle_tells_all_about_itself(tiny_model):
    bundle = read_bundle(tiny_model)
    assert bundle.meta == tiny_meta()
    assert bundle.meta.labelset == FERPLUS
    assert bundle.path == tiny_model
    assert bundle.sha256 == hashlib.sha256(tiny_model.read_bytes()).hexdigest()


def test_a_bundle_of_bytes_is_that_of_its_file(tiny_model):
    content = tiny_model.read_bytes()
    file, read = read_bundle(tiny_model), read_bundle(content)
    assert (read.meta, read.sha256, read.content, read.path) == (file.meta, file.sha256, content, None)
    assert file.content == content
    with pytest.raises(BundleError, match=r"^model: expected a whole ONNX file"):
        read_bundle(content[:-100])


def test_the_metadata_is_where_others_can_read_it(tiny_model):
    properties = {entry.key: entry.value for entry in onnx.load(tiny_model).metadata_props}
    values = json.loads(properties[METADATA_KEY])
    assert values["format"] == 2
    assert values["labels"] == list(FERPLUS.expressions)
    assert set(values) == {
        "format", "name", "label_set", "labels", "input", "temperature", "grid", "provenance",
        "calibration",
    }  # fmt: skip


def test_metadata_survives_its_json():
    meta = tiny_meta(color="rgb", temperature=0.7)
    assert BundleMeta.from_json(meta.to_json()) == meta


def test_what_others_wrote_beside_the_metadata_does_not_matter():
    assert BundleMeta.from_json(changed(note="ours")) == tiny_meta()


@pytest.mark.parametrize("temperature", [LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE])
def test_whatever_temperature_is_fitted_can_be_read(temperature):
    assert BundleMeta.from_json(changed(temperature=temperature)).temperature == temperature


def test_labels_of_an_unknown_set_are_accepted(tmp_path):
    own = ("calm", "\u062e\u0648\u0634\u200c\u062d\u0627\u0644")  # the latter in letters that a U+200C parts
    meta = dataclasses.replace(tiny_meta(), label_set="own", labels=own)
    path = write_bundle(tmp_path / "own.onnx", tiny_graph(meta), meta.to_json())
    assert read_bundle(path).meta.labels == own


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "without the property 'crossfer'"),
        ("no json", "expected JSON"),
        ("[" * 100_000, "expected JSON, found other text"),
        ("[1]", "expected a JSON object, found list"),
        (changed(format=1), "expected format 2, found 1"),
        (changed(format=None), "expected format 2, found None"),
        (changed(labels=None), "metadata.labels: expected a list, found nothing; export the model again"),
        (changed(temperature=None, grid=None), "metadata.temperature: expected a number, found nothing"),
        (changed(input=None), "metadata.input: expected an object, found nothing"),
        (changed(provenance=None), "metadata.provenance: expected an object, found nothing"),
        (changed(name=7), "metadata.name: expected text, found 7"),
        (changed(labels="neutral"), "metadata.labels: expected a list, found 'neutral'"),
        (changed(labels=[1, 2]), r"metadata.labels\[0\]: expected text, found 1"),
        (changed(input={"size": 48}), "metadata.input.color: expected text, found nothing"),
        (changed(temperature=0), "temperature: expected a number from 0.05 to 20, found 0"),
        (changed(temperature=0.04), "temperature: expected a number from 0.05 to 20, found 0.04"),
        (changed(temperature=1e30), "temperature: expected a number from 0.05 to 20, found 1e"),
        (changed(temperature="hot"), "metadata.temperature: expected a number, found 'hot'"),
        (changed(temperature=True), "metadata.temperature: expected a number, found True"),
        (changed(temperature=10**400), "metadata.temperature: expected a number, found 1000"),
        (changed(grid=2.5), "metadata.grid: expected a whole number, found 2.5"),
        (changed(grid=0), "grid: expected a whole number of at least 1, found 0"),
        (changed(labels=list(LABEL_SETS["rafdb"].expressions)), "expected those of ferplus in order"),
        (changed(name=" "), "name: expected printable text, found ' '; export the model again"),
        (changed(name="a\x1b[31m\nb"), r"name: expected printable text, found 'a\\x1b\[31m\\nb'"),
        (changed(labels=["calm", "ten\x1b[31mse"], label_set="own"), r"labels: .*, found 'calm', 'ten\\x1b"),
        (changed(labels=["calm", ""], label_set="own"), "labels: expected printable text, found 'calm', ''"),
        (changed(labels=["calm"] * 8, label_set="own"), "expected distinct expression names"),
        (changed(labels=["calm", "tense"], label_set="own"), "expected 'logits' of shape \\(batch, 2\\)"),
        (changed(grid=5), "expected 'evidence' of shape \\(batch, 8, 5, 5\\)"),
    ],
)
def test_metadata_that_does_not_fit_says_what_is_wrong(tmp_path, metadata, message):
    path = write_bundle(tmp_path / "bad.onnx", tiny_graph(tiny_meta()), metadata)
    with pytest.raises(BundleError, match=message) as caught:
        read_bundle(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_input_of_another_size(tmp_path):
    contract = dataclasses.replace(tiny_meta().input, size=96)
    meta = dataclasses.replace(tiny_meta(), input=contract)
    path = write_bundle(tmp_path / "size.onnx", tiny_graph(tiny_meta()), meta.to_json())
    with pytest.raises(BundleError, match=r"expected 'image' of shape \(batch, 1, 96, 96\)"):
        read_bundle(path)


@pytest.mark.parametrize("name", ["image", "logits", "evidence"])
def test_a_missing_input_or_output(tmp_path, name):
    path = write_bundle(
        tmp_path / "other.onnx", tiny_graph(tiny_meta(), **{name: "other"}), tiny_meta().to_json()
    )
    with pytest.raises(BundleError, match=f"expected an input or output '{name}', found only"):
        read_bundle(path)


def test_a_fixed_batch_is_refused(tmp_path):
    graph = tiny_graph(tiny_meta())
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    path = write_bundle(tmp_path / "one.onnx", graph, tiny_meta().to_json())
    with pytest.raises(BundleError, match=r"expected 'image' of shape \(batch, 1, 48, 48\), found \[1,"):
        read_bundle(path)


def test_a_second_input_is_refused(tmp_path):
    graph = tiny_graph(tiny_meta())
    graph.graph.input.append(helper.make_tensor_value_info("gain", TensorProto.FLOAT, [1]))
    path = write_bundle(tmp_path / "two.onnx", graph, tiny_meta().to_json())
    with pytest.raises(BundleError, match=r"expected the input 'image' alone, found image, gain; export the"):
        read_bundle(path)
    # Weights that are listed as inputs, as older exporters do, have values of their own.
    graph.graph.initializer.append(numpy_helper.from_array(np.float32([1]), "gain"))
    read_bundle(write_bundle(path, graph, tiny_meta().to_json()))


def outside(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """The tensor with its values in a file."""
    external_data_helper.set_external_data(tensor, "w.data")
    tensor.ClearField("raw_data")
    return tensor


def constant(tensor: onnx.TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["unused"], value=tensor)


def test_weights_in_another_file_are_refused_whatever_lies_there(tmp_path, monkeypatch, tiny_model):
    """ONNX Runtime, which is given bytes, would look for them in the current folder."""
    whole, parted, again = onnx.load(tiny_model), tmp_path / "m.onnx", tmp_path / "again.onnx"
    onnx.save(whole, parted, save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    monkeypatch.chdir(tmp_path)
    said = (
        r"^m\.onnx: expected a bundle in one file, found weights outside it \(m\.onnx\.data\); save it as one"
    )
    with pytest.raises(BundleError, match=said):
        read_bundle("m.onnx")
    with pytest.raises(BundleError, match=r"^model: expected a bundle in one file"):
        write_whole(parted.read_bytes(), tiny_meta(), again)
    assert not again.exists()
    onnx.save(onnx.load(parted), again)  # as the message says
    assert read_bundle(again).meta == tiny_meta()


@pytest.mark.parametrize("place", ["constant", "branch", "function", "sparse"])
def test_so_are_weights_further_in(tmp_path, place):
    graph = tiny_graph(tiny_meta())
    tensor = outside(numpy_helper.from_array(np.float32([1]), "w"))
    if place == "constant":
        graph.graph.node.append(constant(tensor))
    elif place == "branch":
        branch = helper.make_graph([constant(tensor)], "branch", [], [])
        graph.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))
    elif place == "function":
        opset = [helper.make_opsetid("", 18)]
        graph.functions.append(helper.make_function("own", "f", [], ["unused"], [constant(tensor)], opset))
    else:
        at = numpy_helper.from_array(np.int64([0]), "at")
        graph.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor, at, [9]))
    with pytest.raises(BundleError, match=r"weights outside it \(w\.data\)"):
        read_bundle(write_bundle(tmp_path / "deep.onnx", graph, tiny_meta().to_json()))


def test_weights_that_were_in_another_file_once_are_no_longer(tmp_path):
    """What a tensor says of a file counts only where its values are said to be there."""
    graph = tiny_graph(tiny_meta())
    weights = graph.graph.initializer[0]
    external_data_helper.set_external_data(weights, "gone.data")
    weights.data_location = TensorProto.DEFAULT
    path = write_bundle(tmp_path / "whole.onnx", graph, tiny_meta().to_json())
    assert b"gone.data" in path.read_bytes()
    assert read_bundle(path).meta == tiny_meta()


@pytest.mark.parametrize("said", [b"\x70\x01", b"\x70\x81\x00", b"\x70\x81\x80\x00", b"\xf0\x00\x01"])
def test_however_it_is_spelt_that_weights_are_elsewhere(said):
    weights = outside(tiny_graph(tiny_meta()).graph.initializer[0])
    weights.ClearField("data_location")
    content = weights.SerializeToString() + said
    assert TensorProto.FromString(content).data_location == TensorProto.EXTERNAL
    assert list(external_files(content, "tensor")) == ["w.data"]


def test_a_tensor_in_parts_is_elsewhere_if_one_of_them_says_so():
    named, told = outside(numpy_helper.from_array(np.float32([1]), "w")), TensorProto()
    named.ClearField("data_location")
    told.data_location = TensorProto.EXTERNAL
    content = b"".join(message(5, part.SerializeToString()) for part in (named, told))
    merged = onnx.AttributeProto.FromString(content).t
    assert merged.external_data
    assert merged.data_location == TensorProto.EXTERNAL
    assert list(external_files(content, "attribute")) == ["unnamed"]


@pytest.mark.parametrize(
    "content", [b"", b"no ONNX file", b"no ONNX file at this location"], ids=["empty", "text", "more text"]
)
def test_a_file_that_is_no_onnx(tmp_path, content):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="expected a whole ONNX file"):
        read_bundle(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file(tmp_path, tiny_model, share):
    content = tiny_model.read_bytes()
    path = tmp_path / "short.onnx"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BundleError, match=r"short\.onnx: expected"):
        read_bundle(path)


def test_missing_files_and_names(tmp_path):
    with pytest.raises(BundleError, match="no such model file"):
        read_bundle(tmp_path / "none.onnx")
    with pytest.raises(BundleError, match="model 'nonesuch': expected a file or one of the embedded models"):
        read_bundle("nonesuch")


@pytest.mark.parametrize("name", ["pipe", "pipe.onnx"])
def test_a_pipe_is_no_missing_file(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(BundleError, match="expected a regular file, found a pipe or device; write the model"):
        read_bundle(tmp_path / name)


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + ".onnx"])
def test_a_name_that_is_too_long(name):
    with pytest.raises(
        BundleError, match=r"^x+(\.onnx)?: cannot be read \(File name too long\); check the path"
    ):
        read_bundle(name)


@pytest.mark.parametrize("of", ["is_file", "read_bytes"])
def test_a_file_that_may_not_be_read(of, tiny_model, monkeypatch):
    def denied(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, of, denied)
    with pytest.raises(
        BundleError, match=r"\.onnx: cannot be read \(Permission denied\); check .* permissions"
    ):
        read_bundle(tiny_model)


def test_what_is_still_to_be_exported_says_how(tmp_path):
    with pytest.raises(BundleError, match=rf"found a folder; .*: crossfer export {tmp_path} -o model\.onnx$"):
        read_bundle(tmp_path)
    weights = tmp_path / "best.safetensors"
    weights.write_bytes(b"weights")
    with pytest.raises(BundleError, match=rf"found weights; .*: crossfer export {weights} -o model\.onnx$"):
        read_bundle(weights)


def test_names_mean_the_embedded_models(tmp_path, monkeypatch, tiny_model):
    embedded = tmp_path / "base.onnx"
    embedded.write_bytes(tiny_model.read_bytes())
    monkeypatch.setattr(models, "_folder", lambda: tmp_path)
    assert resolve_model("base") == resolve_model("default") == embedded
    with pytest.raises(BundleError, match=r"embedded models \(base; default is base\)"):
        resolve_model("tiny")


def test_reading_needs_no_onnx_package(tiny_model):
    properties = onnxruntime.InferenceSession(str(tiny_model), providers=["CPUExecutionProvider"])
    assert METADATA_KEY in properties.get_modelmeta().custom_metadata_map
    assert np.isfinite(read_bundle(tiny_model).meta.temperature)


def test_a_calibration_travels_with_the_bundle(tmp_path, tiny_model):
    meta = dataclasses.replace(
        tiny_meta(), temperature=0.7, calibration=dataclasses.replace(calibration(), bias=(0.1,) * 8)
    )
    write_whole(tiny_model.read_bytes(), meta, tmp_path / "new.onnx")
    found = read_bundle(tmp_path / "new.onnx")
    assert found.meta == meta
    assert found.meta.bias == (0.1,) * 8
    before, after = onnx.load(tiny_model), onnx.load(tmp_path / "new.onnx")
    assert after.graph == before.graph
    assert [entry.key for entry in after.metadata_props] == [METADATA_KEY]
    onnx.checker.check_model(after)


def test_other_properties_and_the_graph_stay(tiny_model):
    model = onnx.load(tiny_model)
    entry = model.metadata_props.add()
    entry.key, entry.value = "author", "somebody"
    changed_model = onnx.load_from_string(
        with_metadata(model.SerializeToString(), tiny_meta(temperature=3.0))
    )
    properties = {entry.key: entry.value for entry in changed_model.metadata_props}
    assert properties["author"] == "somebody"
    assert BundleMeta.from_json(properties[METADATA_KEY]).temperature == 3.0
    assert changed_model.graph == model.graph


def test_what_does_not_agree_is_not_written(tmp_path, tiny_model):
    target = tmp_path / "model.onnx"
    target.write_bytes(b"older")
    with pytest.raises(BundleError, match="expected 'evidence'"):
        write_whole(tiny_model.read_bytes(), dataclasses.replace(tiny_meta(), grid=5), target)
    with pytest.raises(BundleError, match="expected a whole ONNX file"):
        write_whole(b"\xff" * 20, tiny_meta(), target)
    assert target.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_written_is_on_the_disk(tmp_path, tiny_model, monkeypatch):
    safe = []
    monkeypatch.setattr(os, "fsync", lambda number: safe.append(os.fstat(number).st_size))
    write_whole(tiny_model.read_bytes(), tiny_meta(), tmp_path / "model.onnx")
    assert safe[0] == (tmp_path / "model.onnx").stat().st_size


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bias": [0.1]}, "bias: expected one for each of 8 labels, found 1"),
        ({"set_thresholds": []}, "expected 500 numbers"),
        ({"set_thresholds": None}, "metadata.calibration.set_thresholds: expected a list, found nothing"),
    ],
)
def test_a_calibration_that_does_not_fit_says_what_is_wrong(tmp_path, values, message):
    text = changed(calibration=to_plain(calibration()) | values)
    path = write_bundle(tmp_path / "bad.onnx", tiny_graph(tiny_meta()), text)
    with pytest.raises(BundleError, match=message):
        read_bundle(path)
