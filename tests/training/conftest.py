"""A corpus of one real sentence, aligned here; VOCASET and BIWI as tiny folders in the formats that users have."""

import pickle

import numpy as np
import pytest
import soundfile as sf

from histalk_blender.head.topologies.flame import load_flame_map
from histalk_blender.training.datasets import biwi, vocaset

WORDS = "if this is the person you are looking for press one now otherwise please press star now".split()


@pytest.fixture(scope="session")
def aligned(speech):
    from histalk_blender.training.corpus.align import Aligner
    from histalk_blender.training.corpus.shards import at_16k

    samples = at_16k(speech, 16_000)
    return samples, Aligner().align(samples, WORDS)


@pytest.fixture(scope="session")
def corpus(aligned, tmp_path_factory):
    from histalk_blender.training.corpus.shards import Utterance, write_shard

    folder = tmp_path_factory.mktemp("corpus")
    samples, phones = aligned
    half = Utterance("b", "prompts", "x", "test_known", samples[: len(samples) // 2], phones[: len(phones) // 2])
    write_shard(folder, "prompts", [Utterance("a", "prompts", "x", "train", samples, phones), half])
    return folder


@pytest.fixture
def random():
    return np.random.default_rng(0)


SECONDS = 0.8  # of a recording; each frame has all of its vertices
RATE = 22_000  # VOCASET's own


def sound(speech, number):
    start = 16_000 * (number % 4)
    return speech[start : start + round(16_000 * SECONDS)]


@pytest.fixture(scope="session")
def flame_face(head):
    """A stand-in on FLAME's axes made from our own head, as no FLAME head may ship: [5023, 3]."""
    flame = load_flame_map()
    face = flame.read(head.vertices)
    face[flame.eyes] = head.vertices[head.regions["eye_left"]].mean(0)
    return on_flame_axes(face)


def on_flame_axes(points):
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)


@pytest.fixture(scope="session")
def speaking(head):
    """Function from frames and their rate to [T, 5023, 3] displacements on FLAME's axes: a jaw that opens and shuts."""
    from histalk_blender.head.arkit import ARKIT_BLENDSHAPES

    jaw = load_flame_map().read(head.blendshape_deltas()[ARKIT_BLENDSHAPES.index("jawOpen")])

    def move(frames, fps, size):
        return size * np.sin(np.arange(frames) / fps * 12)[:, None, None] ** 2 * on_flame_axes(jaw)

    return move


def write_wav(path, samples):
    path.parent.mkdir(exist_ok=True)
    sf.write(path, samples, 16_000)


@pytest.fixture(scope="session")
def vocaset_files(speech, flame_face, speaking, tmp_path_factory):
    """Layout A, one sentence a subject."""
    root = tmp_path_factory.mktemp("vocaset")
    (root / "vertices_npy").mkdir()
    templates = {}
    for _split, (subjects, sentences) in vocaset.SPLITS.items():
        for i, name in enumerate(subjects):
            subject = f"FaceTalk_{name}_TA"
            templates[subject] = flame_face * (1 + 0.01 * i)
            clip = f"{subject}_sentence{sentences[i]:02}"
            write_wav(root / "wav" / f"{clip}.wav", sound(speech, i))
            frames = templates[subject] + speaking(round(60 * SECONDS), 60, 0.3 + 0.05 * i)
            np.save(root / "vertices_npy" / f"{clip}.npy", frames.reshape(len(frames), -1).astype(np.float32))
    (root / "templates.pkl").write_bytes(pickle.dumps(templates, 2))
    return root


@pytest.fixture(scope="session")
def vocaset_original(vocaset_files, tmp_path_factory):
    """Layout B, VOCA's own, with the test split's sentences of layout A."""
    import soxr

    root = tmp_path_factory.mktemp("voca")
    verts, audio, index = [], {}, {}
    for name in vocaset.SPLITS["test"][0]:
        subject = f"FaceTalk_{name}_TA"
        (path,) = (vocaset_files / "vertices_npy").glob(f"{subject}_*.npy")
        sentence = path.stem.rpartition("_")[2]
        frames = np.load(path).reshape(-1, 5023, 3)
        first = sum(map(len, verts))
        index[subject] = {sentence: {frame: first + frame for frame in range(len(frames))}}
        samples, rate = sf.read(vocaset_files / "wav" / f"{path.stem}.wav", dtype="float32")
        samples = np.round(32767 * soxr.resample(samples, rate, RATE)).astype(np.int16)
        audio[subject] = {sentence: {"audio": samples, "sample_rate": RATE}}
        verts.append(frames)
    np.save(root / "data_verts.npy", np.concatenate(verts))
    (root / "raw_audio_fixed.pkl").write_bytes(pickle.dumps(audio, 2))
    (root / "subj_seq_to_idx.pkl").write_bytes(pickle.dumps(index, 2))
    (root / "templates.pkl").write_bytes((vocaset_files / "templates.pkl").read_bytes())
    return root


@pytest.fixture(scope="session")
def biwi_files(speech, tmp_path_factory):
    """One sentence a subject and split; faces are random points that a few smooth shapes move."""
    root = tmp_path_factory.mktemp("biwi")
    random = np.random.default_rng(0)
    (root / "vertices_npy").mkdir()
    face, shapes = random.normal(0, 0.1, (biwi.VERTICES, 3)), random.normal(0, 0.01, (3, biwi.VERTICES, 3))
    shapes[:, 100:] *= 0.1  # the first hundred are the mouth
    time = np.arange(round(25 * SECONDS)) / 25
    subjects = biwi.SEEN + biwi.UNSEEN
    for subjects_of, sentences in biwi.SPLITS.values():
        for i, subject in enumerate(subjects_of):
            clip = f"{subject}_e{sentences[i % len(sentences)]:02}"
            write_wav(root / "wav" / f"{clip}.wav", sound(speech, i))
            waves = np.sin(time[:, None] * [9, 12, 15] + i)
            frames = face + np.tensordot(waves, shapes, 1)
            np.save(root / "vertices_npy" / f"{clip}.npy", frames.reshape(len(frames), -1).astype(np.float32))
    (root / "templates.pkl").write_bytes(pickle.dumps({name: face.ravel() for name in subjects}, 4))
    (root / "regions").mkdir()
    (root / "regions" / "lve.txt").write_text(", ".join(map(str, range(100))))
    (root / "regions" / "fdd.txt").write_text(", ".join(map(str, range(5000, 5400))))
    return root
