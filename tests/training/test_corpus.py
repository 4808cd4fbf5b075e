"""Where training speech comes from: alignment, languages, splits, shards."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf

from histalk_blender.training.corpus import languages, readers, real
from histalk_blender.training.corpus.align import words_of
from histalk_blender.training.corpus.clips import load_clips
from histalk_blender.training.corpus.shards import (
    Utterance,
    held_out_speakers,
    sentence_split,
    shifted,
    write_shard,
    write_splits,
)
from histalk_blender.training.corpus.symbols import ESPEAK_US, US, to_arpabet
from histalk_blender.training.examples.batches import SHARES
from histalk_blender.training.teacher.phones import ARPABET


def test_a_real_sentence_is_aligned_where_its_lips_close(aligned):
    samples, phones = aligned
    assert phones[0][1] == 0 and abs(phones[-1][2] - len(samples) / 16_000) < 1e-6
    assert all(end == start for (_, _, end), (_, start, _) in zip(phones, phones[1:]))
    assert {phone for phone, _, _ in phones} <= set(ARPABET)
    plosives = [(start, end) for phone, start, end in phones if phone == "P"]
    assert len(plosives) == 4  # person, press, please, press
    spectrum = np.fft.rfft(samples.astype(float))
    spectrum[np.fft.rfftfreq(len(samples), 1 / 16_000) < 1000] = 0
    energy = np.convolve(np.square(np.fft.irfft(spectrum, len(samples))), np.ones(160) / 160, "same")
    quiet = [energy[round(start * 16_000) : round((start + 0.04) * 16_000)].min() for start, _ in plosives]
    assert np.median(quiet) < 0.02 * energy.mean(), "a /p/ begins with silence"


def test_transcripts_become_words():
    assert words_of("Press 12 for H.323 [beep], it's 5% off!") == (
        "press twelve for h three two three it's five percent off".split()
    )


def test_symbols_cover_each_other():
    used = {name for table in (US, ESPEAK_US) for value in table.values() for name in value.split()}
    assert used <= set(ARPABET)
    assert to_arpabet([("@L", 0.0, 0.2), ("p", 0.2, 0.3)], ESPEAK_US) == [
        ("AH", 0, 0.1),
        ("L", 0.1, 0.2),
        ("P", 0.2, 0.3),
    ]
    assert to_arpabet([("what?", 0, 1)], US) is None


def test_shifting_labels_keeps_them_in_order_and_their_ends():
    phones = [("SIL", 0.0, 0.1), ("P", 0.1, 0.11), ("AA", 0.11, 0.5)]
    moved = shifted(phones, -0.02)
    assert moved[0][1] == 0 and moved[-1][2] == 0.5
    assert all(a[2] == b[1] for a, b in zip(moved, moved[1:]))
    assert abs(moved[1][1] - 0.08) < 1e-9


def test_a_sentence_falls_on_the_same_side_however_it_is_written():
    sentences = [f"the {i} big pumps" for i in range(500)]
    splits = [sentence_split(s) for s in sentences]
    assert 60 < splits.count("test_known") < 140
    assert splits == [sentence_split(s.upper() + "!") for s in sentences]


def test_a_fifth_of_the_speakers_is_never_trained_on():
    assert len(held_out_speakers(range(40))) == 8
    assert len(held_out_speakers(["a", "b"])) == 1
    assert held_out_speakers(range(40)) == held_out_speakers(reversed(range(40)))


def test_a_folder_of_real_speech_is_split_by_speaker_and_cropped(tmp_path, random):
    (tmp_path / "commands").mkdir()
    sound, table = tmp_path / "noise.opus", {}
    sf.write(sound, random.normal(0, 0.1, 24_000), 16_000, format="OGG", subtype="OPUS")
    for i in range(20):
        shutil.copy(sound, tmp_path / "commands" / f"c{i}.opus")
        phones = [["SIL", 0, 0.5], ["B", 0.5, 0.6], ["AA", 0.6, 1.0], ["SIL", 1.0, 1.5]]
        table[f"c{i}"] = {"text": "ba", "score": -10.0 - i / 100, "speaker": i % 10, "phones": phones}
    (tmp_path / "commands.json").write_text(json.dumps(table))
    clips = list(real.speak(tmp_path, "commands"))
    sides = {split: {c.speaker for c in clips if c.split == split} for split in ("train", "test_stranger")}
    assert len(sides["test_stranger"]) == 2 and len(sides["train"]) == 8
    assert not sides["train"] & sides["test_stranger"]
    for clip in clips:
        assert abs(len(clip.samples) / 16_000 - (0.5 + 2 * real.MARGIN)) < 0.02
        assert abs(clip.phones[1][1] - real.MARGIN) < 0.01 and clip.phones[1][0] == "B"


def test_recognisers_are_compared_word_by_word():
    heard = [("Chapter", 0.9), ("12,", 0.9), ("Avenly", 0.2), ("road", 0.3)]
    words, both, sure = readers.agreement(heard, "a chapter twelve the lee road".split())
    assert words == ["chapter", "twelve", "avenly", "road"]
    assert both == [True, True, False, True] and sure == [True, True, False, True]


def test_only_long_stretches_of_agreement_are_tested():
    spans = [("a", 0.0, 1.0, 0), ("b", 1.0, 2.0, 0), ("c", 2.0, 2.5, 0), ("d", 2.5, 3.0, 0)]
    assert readers.stretches(spans, [True, True, False, True]) == [(0.0, 2.0)]


def test_other_languages_take_the_nearest_english_phone():
    spelt = languages.LANGUAGES["es"].arpabet
    assert spelt("βwˈenos") == ["V", "W", "EH", "N", "AO", "S"]
    assert spelt("t‍ʃˈys") == ["CH", "UW", "S"]
    assert spelt("œ̃") == ["ER"] and spelt("(en)bˈɒs(es)") == ["B", "AO", "S"]
    assert spelt("ɧ") is None
    assert {phone for value in languages.IPA.values() for phone in value.split()} <= set(ARPABET)


def test_a_new_language_is_one_entry_with_the_phones_that_ipa_does_not_have():
    swedish = languages.Language(share=0.02, speaker="sv_SE_f_Ingrid", phones={"ɧ": "SH", "r": "R"})
    assert swedish.arpabet("ɧˈuːr") == ["SH", "UW", "R"]
    assert languages.LANGUAGES["de"].arpabet("dˈ??st") == ["D", "UH", "AH", "S", "T"]
    for code, language in languages.LANGUAGES.items():
        assert {phone for value in language.table.values() for phone in value.split()} <= set(ARPABET)
        assert language.test_only != (SHARES.get(f"lang-{code}", 0) == language.share > 0)


def test_a_closure_that_the_sound_does_not_show_is_doubted(aligned):
    samples, phones = aligned
    plosives = [row for row in phones if row[0] == "P"]
    assert len(languages.missing_closures(samples, phones)) <= 1
    vowel = next(row for row in phones if row[0] in ("IY", "AO", "AH", "IH") and row[2] - row[1] > 0.08)
    wrong = [("P", vowel[1], vowel[2])]
    assert languages.missing_closures(samples, plosives + wrong)[-1] == wrong[0][1:]


def test_splits_are_written_and_no_voice_is_on_both_sides(tmp_path):
    sound, phones = np.zeros(1600, np.int16), [("AA", 0.0, 0.1)]
    write_shard(tmp_path, "a", [Utterance("1", "s", "x", "train", sound, phones, [(0.0, 0.05)])])
    write_shard(tmp_path, "b", [Utterance("2", "s", "y", "test_stranger", sound, phones)])
    assert write_splits(tmp_path) == {"test_stranger": 1, "train": 1}
    assert (tmp_path / "splits.tsv").read_text().splitlines()[1:] == ["1\ts\tx\ttrain", "2\ts\ty\ttest_stranger"]
    assert load_clips(tmp_path, {"train"})[0].unsure.tolist() == [[0.0, pytest.approx(0.05)]]
    write_shard(tmp_path, "c", [Utterance("3", "s", "y", "train", sound, phones)])
    with pytest.raises(ValueError, match="trained on"):
        write_splits(tmp_path)


def test_shards_give_back_what_was_written(corpus, aligned):
    (clip,) = load_clips(corpus, {"train"})
    np.testing.assert_array_equal(clip.samples, aligned[0])
    assert [tuple(p)[0] for p in clip.phones] == [p for p, _, _ in aligned[1]]
    assert clip.controls.shape == (round(clip.seconds * 30), 52)
    assert len(load_clips(corpus, {"test_known"})) == 1


def test_the_build_names_what_is_missing_and_makes_the_rest(tmp_path):
    (tmp_path / "real").mkdir()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "histalk_blender.training.corpus.build",
            "--out",
            tmp_path / "out",
            "--hours",
            "0",
            "--real",
            tmp_path / "real",
        ],
        capture_output=True,
        text=True,
        env={"PATH": "/nowhere"},
    )
    assert done.returncode == 0 and "kathleen.json" in done.stderr and "apt-get install" in done.stderr
