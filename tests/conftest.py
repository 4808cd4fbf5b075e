"""What the tests share: the real head, the real weights, real speech."""

import pytest
from assets import SPEECH


@pytest.fixture(scope="session")
def head():
    from histalk_blender.head import load_head

    return load_head()


@pytest.fixture(scope="session")
def model():
    from histalk_blender.network import load_checkpoint
    from histalk_blender.synthesis import WEIGHTS

    return load_checkpoint(WEIGHTS)


@pytest.fixture(scope="session")
def speech():
    from histalk_blender.audio import read_audio

    return read_audio(SPEECH)


@pytest.fixture(scope="session")
def performance(speech, model, head):
    from histalk_blender.synthesis import synthesize

    return synthesize(speech, model, head)
