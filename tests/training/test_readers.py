"""Each reader gives back what the tests wrote in the format that users have, and names what is missing."""

import pickle
import shutil

import numpy as np
import pytest

from histalk_blender.errors import HiSTalkError
from histalk_blender.training.datasets import biwi, open_data_set, vocaset


def test_vocaset_is_halved_to_30_frames_and_turned_upright(vocaset_files, speaking, head):
    data = open_data_set("vocaset", vocaset_files)
    clips = data.recordings("test")
    assert [clip.subject for clip in clips] == ["FaceTalk_170809_00138_TA", "FaceTalk_170731_00024_TA"]
    assert [clip.id[-10:] for clip in clips] == ["sentence21", "sentence22"]
    motion = clips[0].motion()
    np.testing.assert_allclose(motion, vocaset.upright(speaking(48, 60, 0.3)[::2]), atol=1e-6)
    assert len(clips[0].samples()) == pytest.approx(0.8 * 16_000, abs=2) and clips[0].phones is None
    landmarks = data.topology.landmarks(clips[0].neutral)
    np.testing.assert_allclose(landmarks[17:], head.landmarks(head.vertices)[17:], atol=0.008)
    lips, upper = (clips[0].neutral[mask] for mask in (data.topology.lips, data.topology.upper_face))
    assert upper[:, 2].min() > lips[:, 2].max(), "Z is up, and the upper face lies above the lips"


def test_both_layouts_of_vocaset_hold_the_same(vocaset_files, vocaset_original):
    for a, b in zip(*(open_data_set("vocaset", root).recordings("test") for root in (vocaset_files, vocaset_original))):
        assert (a.id, a.subject) == (b.id, b.subject)
        np.testing.assert_allclose(a.motion(), b.motion(), atol=1e-6)
        assert np.corrcoef(a.samples()[800:-800], b.samples()[800 : len(a.samples()) - 800])[0, 1] > 0.99


def test_the_official_splits_share_no_subject_and_biwi_b_no_voice_with_training(vocaset_files, biwi_files):
    people = [set(subjects) for subjects, _ in vocaset.SPLITS.values()]
    assert [len(names) for names in people] == [8, 2, 2] and len(set.union(*people)) == 12
    assert open_data_set("vocaset", vocaset_files).sizes == {"train": 320, "val": 40, "test": 40}
    data = open_data_set("biwi", biwi_files)
    groups = {clip.group: set() for clip in data.recordings("test")}
    for clip in data.recordings("test"):
        groups[clip.group].add(clip.subject)
    assert groups == {"test-a": set(biwi.SEEN), "test-b": set(biwi.UNSEEN)}
    assert {clip.subject for clip in data.recordings("train")} == groups["test-a"]
    assert {clip.id[3:] for clip in data.recordings("val")} <= {"e33", "e34", "e35", "e36"}


def test_biwi_has_23370_vertices_its_masks_and_no_landmarks_of_its_own(biwi_files, tmp_path):
    data = open_data_set("biwi", biwi_files)
    clip = data.recordings("test-b")[0]
    assert clip.motion().shape == (20, 23370, 3) and np.abs(clip.motion()).max() < 0.2
    assert list(data.topology.lips) == list(range(100)) and len(data.topology.upper_face) == 400
    assert data.topology.landmarks is None and not data.topology.metres
    assert dict(data.topology.masks)["lips"] == "100 vertices of lve.txt"
    (tmp_path / "marks.txt").write_text(" ".join(map(str, range(68))))
    data = open_data_set("biwi", biwi_files, landmarks=tmp_path / "marks.txt")
    assert data.topology.landmarks(clip.neutral).shape == (68, 3)


def test_masks_are_read_from_flames_pickle_too(vocaset_files, tmp_path):
    masks = {"lips": np.arange(254), "forehead": np.arange(300, 400), "eye_region": np.arange(500, 550)}
    path = tmp_path / "FLAME_masks.pkl"
    path.write_bytes(pickle.dumps(masks, 2))
    data = open_data_set("vocaset", vocaset_files, lips=f"{path}:lips", upper_face=f"{path}:forehead+eye_region")
    assert len(data.topology.lips) == 254 and len(data.topology.upper_face) == 150
    assert dict(data.topology.masks)["lips"] == "254 vertices of FLAME_masks.pkl:lips"
    for name, text in (("none.txt", None), ("words.txt", "a b"), ("far.txt", "1, 5023")):
        if text:
            (tmp_path / name).write_text(text)
        with pytest.raises(HiSTalkError, match=name):
            open_data_set("vocaset", vocaset_files, lips=tmp_path / name)
    with pytest.raises(HiSTalkError, match="none"):
        open_data_set("vocaset", vocaset_files, lips=f"{path}:none")


@pytest.mark.parametrize(
    "name, split, gone",
    [
        ("vocaset", "test", "templates.pkl"),
        ("vocaset", "test", "wav/FaceTalk_170809_00138_TA_sentence21.wav"),
        ("vocaset", "val", "vertices_npy/FaceTalk_170811_03275_TA_sentence21.npy"),
        ("biwi", "train", "templates.pkl"),
        ("biwi", "test", "wav/F2_e37.wav"),
        ("biwi", "test", "vertices_npy/F2_e37.npy"),
    ],
)
def test_a_missing_file_is_named(request, tmp_path, name, split, gone):
    whole = request.getfixturevalue(f"{name}_files")
    root = tmp_path / "data"
    shutil.copytree(whole, root, copy_function=lambda a, b: b if a.endswith(gone) else shutil.os.symlink(a, b))
    with pytest.raises(HiSTalkError, match=gone.replace(".", r"\.")):
        open_data_set(name, root).recordings(split)


@pytest.mark.parametrize("gone", ["raw_audio_fixed.pkl", "subj_seq_to_idx.pkl", "templates.pkl"])
def test_a_missing_file_of_vocas_own_is_named(vocaset_original, tmp_path, gone):
    root = tmp_path / "data"
    shutil.copytree(vocaset_original, root, copy_function=shutil.os.symlink)
    (root / gone).unlink()
    with pytest.raises(HiSTalkError, match=gone):
        open_data_set("vocaset", root).recordings("test")


def test_a_subject_that_was_left_out_is_named(vocaset_original):
    with pytest.raises(HiSTalkError, match="no sentence of 'FaceTalk_170728_03272_TA'"):
        open_data_set("vocaset", vocaset_original).recordings("train")


def test_another_mesh_another_rate_and_an_unknown_split_are_refused(vocaset_files, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(vocaset_files, root, copy_function=shutil.os.symlink)
    clip = "FaceTalk_170809_00138_TA_sentence21.npy"
    frames = np.load(vocaset_files / "vertices_npy" / clip)
    for wrong, says in ((frames[:, :300], "frames of 5023 vertices"), (frames[:10], "10 frames for 0.8 s")):
        (root / "vertices_npy" / clip).unlink()
        np.save(root / "vertices_npy" / clip, wrong)
        with pytest.raises(HiSTalkError, match=f"sentence21.*{says}"):
            open_data_set("vocaset", root).recordings("test")[0].motion()
    with pytest.raises(HiSTalkError, match="no split 'dev': choose train, val, test"):
        open_data_set("vocaset", root).recordings("dev")
    with pytest.raises(HiSTalkError, match="No folder"):
        open_data_set("biwi", tmp_path / "none")


def test_our_corpus_is_a_data_set_too(corpus):
    data = open_data_set("corpus", corpus)
    (clip,) = data.recordings("test")
    assert clip.group == "test_known prompts" and clip.phones
    assert clip.motion().shape == (round(len(clip.samples()) / 16_000 * 30), 5123, 3)
