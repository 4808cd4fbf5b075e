"""Speech as it comes, motion soon after, as for a live preview."""

import queue
import threading
import time

import numpy as np
import pytest

from histalk_blender.head.head import lip_opening
from histalk_blender.motion.motion import Motion
from histalk_blender.synthesis import Stream, synthesize

RATE = 16_000


def stream_all(stream, samples, sizes):
    """All frames as one motion, fed in chunks of these sizes, over and over."""
    parts, first = [], 0
    while first < len(samples):
        size = sizes[len(parts) % len(sizes)]
        parts.append(stream.feed(samples[first : first + size]).weights)
        first += size
    parts.append(stream.finish().weights)
    return Motion(np.concatenate(parts), stream.shapes, stream.fps)


@pytest.fixture(scope="module")
def whole(speech, model, head):
    return synthesize(speech, model, head, levels=False).motion


def opening(motion, head):
    return lip_opening(head.landmarks(head.vertices) + motion.on(head.landmarks(motion.shapes)).displacements())


def test_a_file_played_at_its_own_pace_moves_the_mouth_as_the_whole_clip_does(speech, whole, model, head):
    played = queue.Queue()

    def play():
        began = time.monotonic()
        for first in range(0, len(speech), 1024):
            time.sleep(max(0.0, began + first / RATE - time.monotonic()))
            played.put(speech[first : first + 1024])
        played.put(None)

    threading.Thread(target=play, daemon=True).start()
    stream, parts, fed = Stream(model, head), [], 0
    while (chunk := played.get(timeout=10)) is not None:
        parts.append(stream.feed(chunk).weights)
        fed += len(chunk)
        assert stream.frames >= int((fed / RATE - 0.5) * stream.fps), (
            "a frame is later than look-ahead and hop together"
        )
        assert stream.frames <= max(0, (fed / RATE - 0.3) * stream.fps + 1), (
            "a frame came before what it was to wait for"
        )
    parts.append(stream.finish().weights)
    live = Motion(np.concatenate(parts), stream.shapes, stream.fps)
    assert len(live) == len(whole)
    ours, theirs = opening(live, head), opening(whole, head)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.98
    assert np.abs(ours - theirs).mean() < 0.0004
    closed = theirs < np.quantile(theirs, 0.1)
    assert ours[closed].max() < np.median(theirs), "lips that close in the whole clip close live"


def test_chunks_of_any_size_give_the_same_frames(speech, model, head):
    frames = [
        stream_all(Stream(model, head), speech[:40_000], sizes).weights for sizes in ([1600], [40_000], [1, 7, 5000])
    ]
    np.testing.assert_allclose(frames[1], frames[0], atol=1e-5)
    np.testing.assert_allclose(frames[2], frames[0], atol=1e-5)


def test_more_look_ahead_comes_nearer_to_the_whole_clip(speech, whole, model, head):
    def error(lookahead_s):
        live = stream_all(Stream(model, head, lookahead_s=lookahead_s), speech, [3200])
        return np.abs(live.displacements() - whole.displacements()).mean()

    assert error(0.3) < 0.6 * error(0.05)


def test_a_quiet_speaker_is_brought_to_level_as_in_the_whole_clip(speech, whole, model, head):
    quiet = stream_all(Stream(model, head), speech * 0.1, [3200])
    assert np.corrcoef(opening(quiet, head), opening(whole, head))[0, 1] > 0.95


def test_silence_rests_and_keeps_no_sound(model, head):
    stream = Stream(model, head)
    for _ in range(60):
        assert not stream.feed(np.zeros(RATE // 2, np.float32)).weights.any()
    assert 29 * stream.fps < stream.frames <= 30 * stream.fps and len(stream._sound) < 4 * RATE


def test_a_long_stream_keeps_the_last_seconds_only(speech, model, head):
    stream = Stream(model, head, hop_s=1.0)
    for _ in range(3):
        stream.feed(speech)
        assert len(stream._sound) < 4 * RATE


def test_an_empty_stream_has_no_frames_and_a_finished_one_takes_nothing(model, head):
    stream = Stream(model, head)
    assert len(stream.finish()) == 0
    with pytest.raises(ValueError, match="finished"):
        stream.feed(np.zeros(10, np.float32))
    with pytest.raises(ValueError, match="one channel"):
        Stream(model, head).feed(np.zeros((10, 2), np.float32))
    with pytest.raises(ValueError, match="hop_s"):
        Stream(model, head, hop_s=0)
