"""A pickle may hold data and nothing that runs."""

import collections
import os
import pickle

import numpy as np
import pytest

from histalk_blender.errors import HiSTalkError
from histalk_blender.training.datasets.pickles import read_pickle

DATA = {
    "FaceTalk": {"audio": np.arange(5, dtype=np.int16), "sample_rate": 22000, "gain": np.float64(0.5)},
    "big-endian": np.arange(6, dtype=">f4").reshape(2, 3),
    "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "none": np.zeros((0, 3)),
    "more": [
        1.5,
        None,
        True,
        (b"raw", {1, 2}),
        "é",
        collections.OrderedDict(a=1),
        b"",
        bytearray(b"\0\1"),
        2j,
        -(2**40),
        collections.defaultdict(list, b=[2]),
        frozenset({(1, 2)}),
        float("inf"),
    ],
}


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_numbers_and_containers_of_every_protocol_are_read(tmp_path, protocol):
    path = tmp_path / "data.pkl"
    path.write_bytes(pickle.dumps(DATA, protocol))
    got = read_pickle(path)
    np.testing.assert_array_equal(got["FaceTalk"]["audio"], DATA["FaceTalk"]["audio"])
    assert got["FaceTalk"]["sample_rate"] == 22000 and got["FaceTalk"]["gain"] == 0.5
    for name in ("big-endian", "columns first", "none"):
        np.testing.assert_array_equal(got[name], DATA[name])
        assert got[name].dtype == DATA[name].dtype.newbyteorder("=")
    assert got["more"] == DATA["more"]


def test_a_pickle_of_python_2_is_read(tmp_path):
    # cPickle.dumps({'F1': numpy.array([[1, 2, 3]], 'float32')}, 2) of Python 2.7 with numpy 1.13.
    path = tmp_path / "templates.pkl"
    path.write_bytes(
        b"\x80\x02}q\x01U\x02F1q\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b"
        b"\x87Rq\x05(K\x01K\x01K\x03\x86cnumpy\ndtype\nq\x06U\x02f4K\x00K\x01\x87Rq\x07(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x0c\x00\x00\x80?\x00\x00\x00@\x00\x00@@tbs."
    )
    np.testing.assert_array_equal(read_pickle(path)["F1"], np.float32([[1, 2, 3]]))


class Command:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("protocol", (0, 2, 4))
def test_a_malicious_pickle_is_refused_before_it_runs_and_the_message_names_class_and_file(tmp_path, protocol):
    path = tmp_path / "templates.pkl"
    path.write_bytes(pickle.dumps({"FaceTalk": Command(tmp_path / "harm")}, protocol))
    with pytest.raises(HiSTalkError, match=r"templates.pkl.*(posix|nt).system"):
        read_pickle(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "code", ["cbuiltins\neval\n(Vopen\ntR.", "c_codecs\nencode\n(Vx\nVzlib\ntR.", "cnumpy\nload\n."]
)
def test_neither_eval_nor_other_codecs_nor_the_rest_of_numpy_pass(tmp_path, code):
    path = tmp_path / "bad.pkl"
    path.write_bytes(code.encode())
    with pytest.raises(HiSTalkError, match="bad.pkl.*refused"):
        read_pickle(path)


def test_a_missing_or_damaged_pickle_is_named(tmp_path):
    with pytest.raises(HiSTalkError, match="none.pkl' is missing"):
        read_pickle(tmp_path / "none.pkl")
    (tmp_path / "cut.pkl").write_bytes(pickle.dumps(DATA, 2)[:-40])
    with pytest.raises(HiSTalkError, match="cut.pkl' is"):
        read_pickle(tmp_path / "cut.pkl")
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(HiSTalkError, match="list.pkl' holds a list and no dictionary"):
        read_pickle(tmp_path / "list.pkl")
    (tmp_path / "empty.pkl").write_bytes(b"")
    with pytest.raises(HiSTalkError, match="empty.pkl' is no whole pickle"):
        read_pickle(tmp_path / "empty.pkl")
