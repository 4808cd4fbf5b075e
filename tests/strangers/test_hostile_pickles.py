"""Pickles that were made to harm: each is refused in one sentence, by a process that neither crashes nor grows."""

import json
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="no torch for this Python here")

ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
F4 = b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
# A record of one object whose flags deny that it holds a pointer: NumPy then takes eight bytes of the file for one.
POINTER = (
    b"cnumpy\ndtype\n(U\x02V8K\x00K\x01tR(K\x03U\x01|N(U\x01at}U\x01a"
    b"(cnumpy\ndtype\n(U\x02O8K\x00K\x01tRK\x00tsK\x08K\x01K\x00tb"
)


def subject(value):
    """A table with one face, as templates.pkl holds them."""
    return b"\x80\x02}U\x02F1" + value + b"s."


def filled(dtype, shape, data, fortran=b"\x89"):
    return ARRAY + b"(K\x01" + shape + dtype + fortran + data + b"tb"


ATTACKS = {
    "pointer": subject(filled(POINTER, b"(K\x01t", b"U\x08AAAAAAAA")),
    "objects": subject(filled(F4.replace(b"f4", b"O8"), b"(K\x01t", b"(U\x01at")),
    "text": subject(filled(F4.replace(b"f4", b"U9"), b"(K\x01t", b"U\x24" + b"a" * 36)),
    "a dtype that is text": subject(filled(b"U\x02f4", b"(K\x01t", b"U\x04abcd")),
    "a dtype of its own size": subject(b"cnumpy\ndtype\n(U\x0bV2000000000K\x00K\x01tR"),
    "subarray dtype": subject(filled(F4.replace(b"NNNJ", b"(K\x01tNNJ"), b"(K\x01t", b"U\x04abcd")),
    "shape too large": subject(filled(F4, b"(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft", b"U\x04abcd")),
    "shape below zero": subject(filled(F4, b"(J\xff\xff\xff\xffJ\xff\xff\xff\xfft", b"U\x04abcd")),
    "shape of truth values": subject(filled(F4, b"(\x88t", b"U\x04abcd")),
    "shape of text": subject(filled(F4, b"(U\x011t", b"U\x04abcd")),
    "shape that is a list": subject(filled(F4, b"]K\x01a", b"U\x04abcd")),
    "too many axes": subject(filled(F4, b"(" + b"K\x01" * 70 + b"t", b"U\x04abcd")),
    "filled with another array": subject(filled(F4, b"(K\x01t", filled(F4, b"(K\x01t", b"U\x04abcd"))),
    "never filled": subject(ARRAY),
    "filled twice": subject(filled(F4, b"(K\x01t", b"U\x04abcd") + b"(K\x01(K\x01t" + F4 + b"\x89U\x04abcdtb"),
    "a class": subject(b"cnumpy\nndarray\n"),
    "a class in a tuple": subject(b"(cnumpy\nndarray\nK\x01t"),
    "an array by its class": subject(b"cnumpy\nndarray\n((J\xff\xff\xff\x7ftU\x02f8tR"),
    "huge bytearray": subject(b"c__builtin__\nbytearray\n(L9500000000L\ntR"),
    "huge list": subject(b"c__builtin__\nlist\n(c__builtin__\nbytearray\n(L1000000000L\ntRtR"),
    "huge bytes": subject(b"\x8e" + (10**12).to_bytes(8, "little") + b"abc"),
    "huge bytearray by its length": subject(b"\x96" + (9 * 10**9).to_bytes(8, "little") + b"abc"),
    "huge text": subject(b"\x8d" + b"\xff" * 8 + b"abc"),
    "huge integer": subject(b"\x8b\xff\xff\xff\x7f"),
    "integer below zero": subject(b"\x8b\xff\xff\xff\xff"),
    "integer of a million digits": subject(b"L" + b"9" * 10**6 + b"L\n"),
    "huge memo": b"\x80\x02}r\xff\xff\xff\xff" + b"j\xff\xff\xff\x7fs.",
    "repeated encoding": subject(
        b"]X"
        + (2**17).to_bytes(4, "little")
        + b"\xc3\xbf" * 2**16
        + b"q\x01h\x01"
        + b"0"
        + b"("
        + b"c_codecs\nencode\nh\x01U\x06latin1\x86R" * 5000
        + b"e"
    ),
    "repeated array": subject(
        b"]U\xf0" + b"a" * 240 + b"q\x010" + F4 + b"q\x020(" + (ARRAY + b"(K\x01(K<th\x02\x89h\x01tb") * 20_000 + b"e"
    ),
    "hash of a tower of tuples": b"\x80\x02}()" + b"q\x01h\x01\x86" * 60 + b"K\x01u.",
    "text of a tower of lists": subject(b"c__builtin__\nstr\n(]" + b"q\x01(h\x01h\x01l" * 60 + b"tR"),
    "frozenset of frozensets": subject(b"(" + b"\x91q\x01(h\x01" * 40 + b"\x91"),
    "codec that grows": subject(b"c_codecs\nencode\n(Vx\nVzlib\ntR"),
    "persistent id": subject(b"Pfile\n"),
    "extension": subject(b"\x84\x01\x00\x00\x00"),
    "buffer from outside": b"\x80\x05\x97.",
    "read-only buffer": b"\x80\x05\x97\x98.",
    "copyreg": subject(b"ccopy_reg\n_reconstructor\n(c__builtin__\nobject\nc__builtin__\nobject\nNtR"),
    "extension registered": subject(b"ccopyreg\nadd_extension\n(Vos\nVsystem\nK\x01tR"),
    "new object": subject(b"cnumpy\nndarray\n(J\xff\xff\xff\x7ft\x81"),
    "old instance": subject(b"(inumpy\nndarray\n"),
    "dots in a name": b"\x80\x04}\x8c\x02F1\x8c\x05numpy\x8c\x08os.execv\x93s.",
    "state for a dictionary": subject(b"}}U\x09__class__Nsb"),
    "state for a class": subject(b"cnumpy\nndarray\n}U\x07__doc__Nsb"),
    "append to an array": subject(filled(F4, b"(K\x01t", b"U\x04abcd") + b"K\x01a"),
    "item of an array": subject(filled(F4, b"(K\x01t", b"U\x04abcd") + b"K\x00K\x01s"),
    "scalar of objects": subject(b"cnumpy.core.multiarray\nscalar\n(" + F4.replace(b"f4", b"O8") + b"U\x08AAAAAAAAtR"),
    "scalar of too few bytes": subject(b"cnumpy.core.multiarray\nscalar\n(" + F4 + b"U\x01AtR"),
    "buffer of objects": subject(b"cnumpy._core.numeric\n_frombuffer\n(C\x08AAAAAAAA" + POINTER + b"(K\x01tU\x01CtR"),
    "only empty sets": b"\x80\x04" + b"\x8f" * 100_000 + b"}.",
    "a tower of lists": b"\x80\x02" + b"]" * 40_000 + b"a" * 39_999 + b".",
    "a stack that is empty": b"0000.",
    "broken off": subject(filled(F4, b"(K\x01t", b"U\x04abcd"))[:-9],
    "not a pickle": b"PK\x03\x04 a zip",
    "name of two lines": b"\x80\x02}U\x09two\nlinesNs.",
}
READER = """
import json, resource, sys, time
from pathlib import Path
from histalk_blender.errors import HiSTalkError
from histalk_blender.training.datasets import pickles
from histalk_blender.training.datasets.base import read_templates
resource.setrlimit(resource.RLIMIT_AS, [int(4.5e9)] * 2)
pickles.MOST = 100_000  # so that a file need not be large to hold too many steps
for path in sorted(Path(sys.argv[1]).glob("*.pkl")):
    print(json.dumps(["begun", path.stem]), flush=True)
    try:
        told = f"read {sorted(read_templates(path, 4))}"
    except HiSTalkError as error:
        told = str(error)
    print(json.dumps([path.stem, told]), flush=True)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps(["MB", int(peak.split()[1]) // 1024]))  # not ru_maxrss, which begins at the parent's
"""


def read_in_a_child(folder):
    """What the templates in a folder's files are told to be, by a process of its own."""
    done = subprocess.run([sys.executable, "-c", READER, str(folder)], capture_output=True, text=True, timeout=300)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{lines[-1:]} ended with {done.returncode}: {done.stderr[-600:]}"
    return dict(line for line in lines if line[0] != "begun")


def test_every_attack_is_refused_in_one_sentence_and_nothing_crashes_or_grows(tmp_path):
    for name, code in ATTACKS.items():
        (tmp_path / f"{name}.pkl").write_bytes(code)
    told = read_in_a_child(tmp_path)
    assert told.pop("MB") < 1500
    assert set(told) == set(ATTACKS)
    for name, sentence in told.items():
        assert sentence.startswith(f"'{tmp_path / name}.pkl"), f"{name}: {sentence}"
        assert len(sentence.splitlines()) == 1 and len(sentence) < 400, f"{name}: {sentence}"


def test_evaluate_refuses_templates_that_point_into_memory_and_says_so(tmp_path):
    (tmp_path / "vertices_npy").mkdir()
    (tmp_path / "wav").mkdir()
    (tmp_path / "vertices_npy" / "FaceTalk_170809_00138_TA_sentence21.npy").touch()
    (tmp_path / "wav" / "FaceTalk_170809_00138_TA_sentence21.wav").touch()
    (tmp_path / "templates.pkl").write_bytes(ATTACKS["pointer"])
    command = [Path(sys.executable).with_name("histalk"), "evaluate", "--dataset", "vocaset", "--root", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr[-600:]
    assert f"'{tmp_path / 'templates.pkl'}' is refused" in done.stderr and "Traceback" not in done.stderr


def test_damaged_and_shuffled_pickles_give_data_or_one_sentence(tmp_path):
    data = {"F1": np.arange(12, dtype="f4").reshape(4, 3), "F2": [[1.0, 2, 3]] * 4, "more": [1, 2.5, (b"x", {1})]}
    chance = random.Random(7)
    for i in range(600):
        code = bytearray(pickle.dumps(data, i % 6))
        for _ in range(chance.choice([1, 2, 8])):
            place = chance.randrange(len(code))
            if chance.random() < 0.5:
                code[place] = chance.randrange(256)
            elif chance.random() < 0.5:
                del code[place : place + chance.randrange(1, 9)]
            else:
                code[place:place] = code[chance.randrange(len(code)) :][: chance.randrange(1, 40)]
        (tmp_path / f"{i}.pkl").write_bytes(code)
    told = read_in_a_child(tmp_path)
    assert told.pop("MB") < 1500 and len(told) == 600
    for name, sentence in told.items():
        assert sentence.startswith((f"'{tmp_path / name}.pkl", "read [")) and len(sentence.splitlines()) == 1
