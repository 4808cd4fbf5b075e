"""Arrays, tables and encoders of a data set that lie about themselves: each is named in one sentence."""

import json
import struct

import numpy as np
import pytest

pytest.importorskip("torch", reason="no torch for this Python here")

from histalk_blender.errors import HiSTalkError
from histalk_blender.head.head import load_head
from histalk_blender.training.arrays import read_npy
from histalk_blender.training.corpus.clips import load_clips
from histalk_blender.training.datasets.base import read_frames, read_indices
from histalk_blender.training.pretraining.whisper import read_encoder


def npy(header, data=b"\0" * 96, version=b"\x01\x00"):
    """A .npy file with a header of somebody's own."""
    text = header.encode("latin1") + b"\n"
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text))
    return b"\x93NUMPY" + version + size + text + data


def fields(descr="'<f4'", order="False", shape="(2, 12)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


LIES = {
    "longer than the file": npy(fields(shape="(100000000000, 12)")),
    "a shape that overflows": npy(fields(shape="(4294967296, 4294967296, 12)")),
    "a shape below zero": npy(fields(shape="(-1, 12)")),
    "a shape of truth values": npy(fields(shape="(True, 24)")),
    "no frames": npy(fields(shape="(0, 12)")),
    "no shape": npy(fields(shape="None")),
    "objects": npy(fields("'|O'")),
    "records": npy(fields("[('a', '<f4'), ('b', '<f4')]", shape="(12,)")),
    "text": npy(fields("'<U3'")),
    "dates": npy(fields("'<M8[s]'")),
    "an order that is no truth": npy(fields(order="'yes'")),
    "a deep header": npy("(" * 9000 + ")" * 9000),
    "a header that is code": npy("__import__('os').getcwd()"),
    "a header that breaks off": npy(fields())[:40],
    "a header of 4 GB": npy(fields(), version=b"\x02\x00")[:8] + b"\xff\xff\xff\xff" + b"{",
    "another version": npy(fields(), version=b"\x09\x00"),
    "a pickle": b"\x80\x04}.",
    "nothing": b"",
}


@pytest.mark.parametrize("lie", LIES)
def test_an_array_that_lies_is_named(tmp_path, lie):
    path = tmp_path / "frames.npy"
    path.write_bytes(LIES[lie])
    for read in (read_npy, lambda path: read_frames(path, 4), lambda path: read_indices(path, 4)):
        with pytest.raises(HiSTalkError, match="frames.npy' ") as found:
            read(path)
        assert len(str(found.value).splitlines()) == 1 and len(str(found.value)) < 400


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f4", ">f8", "<i2"])
def test_an_honest_array_is_read_as_it_is(tmp_path, kind, order):
    given = np.asarray(np.arange(24).reshape(2, 12), kind, order=order)
    np.save(tmp_path / "a.npy", given)
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), given)


@pytest.mark.parametrize("text", ["1.5", "-1", "4", "9" * 5000, "1 two", "\0", "", "1e3", "\ud800"])
def test_indices_that_are_none_are_named(tmp_path, text):
    (tmp_path / "lips.txt").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(HiSTalkError, match="lips.txt' "):
        read_indices(tmp_path / "lips.txt", 4)


def test_a_mask_of_truth_values_is_not_taken_for_indices(tmp_path):
    np.save(tmp_path / "lips.npy", np.array([True, False, True, False]))
    with pytest.raises(HiSTalkError, match="lips.npy' "):
        read_indices(tmp_path / "lips.npy", 4)


ROW = {
    "id": "a",
    "source": "x",
    "speaker": "x",
    "split": "train",
    "offset": 0,
    "samples": 16_000,
    "phones": [["AA", 0, 1]],
}
BROKEN = [
    {"offset": -1},
    {"offset": 1},
    {"samples": 0},
    {"samples": 10**12},
    {"samples": "16000"},
    {"offset": True},
    {"phones": 5},
    {"phones": [["AA", 0]]},
    {"phones": [["AA", 1, 0]]},
    {"phones": [["AA", 0, float("nan")]]},
    {"phones": [[["AA"], 0, 1]]},
    {"split": None},
    {"speaker": 5},
    {"unsure": [[1, "x"]]},
    {"phones": None},
]


@pytest.mark.parametrize("change", BROKEN)
def test_a_row_of_a_corpus_that_points_elsewhere_is_named_by_its_line(tmp_path, change):
    np.save(tmp_path / "shard.i16.npy", np.zeros(16_000, np.int16))
    (tmp_path / "shard.jsonl").write_text(json.dumps(ROW) + "\n" + json.dumps(ROW | change) + "\n")
    with pytest.raises(HiSTalkError, match="Line 2 of '.*shard.jsonl' is no clip"):
        load_clips(tmp_path, {"train"})


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "5", "null", '{"offset": ' + "9" * 5000 + "}"])
def test_a_table_that_is_none_is_named(tmp_path, text):
    np.save(tmp_path / "shard.i16.npy", np.zeros(16_000, np.int16))
    (tmp_path / "shard.jsonl").write_text(text)
    with pytest.raises(HiSTalkError, match="Line 1 of '.*shard.jsonl' is no clip"):
        load_clips(tmp_path, {"train"})


CONFIG = b'{"model_type": "whisper"}'


@pytest.mark.parametrize(
    "config, weights",
    [
        (b"", b""),
        (b"{", b""),
        (CONFIG, b""),
        (CONFIG, b"\xff" * 64),
        (CONFIG, struct.pack("<Q", 1 << 60) + b"{}"),
        (CONFIG, struct.pack("<Q", 2) + b"{}"),
        (b'{"model_type": "whisper", "d_model": -3}', struct.pack("<Q", 2) + b"{}"),
        (b'{"model_type": "whisper", "encoder_attention_heads": 0}', struct.pack("<Q", 2) + b"{}"),
    ],
)
def test_an_encoder_that_is_none_is_named(tmp_path, config, weights):
    (tmp_path / "config.json").write_bytes(config)
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(HiSTalkError, match="No Whisper encoder at") as found:
        read_encoder(tmp_path)
    assert len(str(found.value).splitlines()) == 1


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"PK\x05\x06" + b"\0" * 18, b"no zip"])
def test_a_head_that_is_none_is_named(tmp_path, data):
    (tmp_path / "head.npz").write_bytes(data)
    with pytest.raises(HiSTalkError, match="head.npz' is not a HiSTalk head"):
        load_head(tmp_path / "head.npz")
