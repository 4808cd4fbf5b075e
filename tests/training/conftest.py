"""A corpus of one real sentence, aligned here."""

import numpy as np
import pytest

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
