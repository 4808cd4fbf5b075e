"""What has a file's name and is none is refused at once: nothing waits for it, nothing reads it for ever."""

import os
import socket

import pytest

from histalk_blender.files import open_regular


@pytest.fixture(params=["pipe", "socket", "device", "folder", "link to a pipe", "link to itself"])
def no_file(request, tmp_path):
    path = tmp_path / "a.wav"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "link to a pipe":
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to("pipe")
    else:
        path.symlink_to(path)
    return path


def test_only_a_regular_file_is_opened(no_file, tmp_path):
    with pytest.raises(OSError) as caught:
        open_regular(no_file)
    assert caught.value.strerror
    (tmp_path / "real").write_bytes(b"sound")
    (tmp_path / "link").symlink_to("real")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"sound"


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "x" * 5000])
def test_a_name_that_no_file_can_have_is_an_error_of_the_file(tmp_path, name):
    with pytest.raises(OSError):
        open_regular(tmp_path / name)
