"""Weights that were edited, damaged or made to harm: one sentence with exit code 2, and no clip is begun."""

import copy
import dataclasses
import json
import os
import pickle
import random
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from assets import SPEECH

torch = pytest.importorskip("torch", reason="no torch for this Python here")

from safetensors.torch import save_file
from small_network import network  # noqa: F401

from histalk_blender.errors import HiSTalkError
from histalk_blender.network import HiSTalk, HiSTalkConfig, load_checkpoint, save_checkpoint, wav2vec2_small

HISTALK = Path(sys.executable).with_name("histalk")


@pytest.fixture
def saved(network, tmp_path):
    """Function that writes the network's weights with changes of config, metadata or tensors, and gives the path."""

    def save(config=None, text=None, change=lambda state: None, name="mine.safetensors", metadata=None):
        state = {name: value.clone() for name, value in network.state_dict().items()}
        change(state)
        fields = json.loads(network.config.to_json()) | (config or {})
        metadata = {"config": json.dumps(fields) if text is None else text} if metadata is None else metadata
        save_file(state, tmp_path / name, metadata=metadata)
        return tmp_path / name

    return save


def refused(path, reason=None):
    """The sentence that a checkpoint is refused with."""
    with pytest.raises(HiSTalkError, match=reason) as found:
        load_checkpoint(path)
    sentence = str(found.value)
    assert f"'{path}'" in sentence and "\n" not in sentence and len(sentence) < 700
    return sentence


HUGE = 10**400
WRONG = [
    *[
        ("fps", value)
        for value in (0, -30, "30", True, None, HUGE, 1e308, float("nan"), float("inf"), [30], {"a": 1}, 241)
    ],
    *[("sample_rate", value) for value in (1, 0, 48_000, 16_000.0, "16000")],
    *[("landmarks", value) for value in (0, 67, 10**9)],
    *[("landmark_scale", value) for value in (0, -1, 1e9, float("nan"))],
    *[
        (name, value)
        for name in ("acoustic_width", "hierarchy_width", "branch_width")
        for value in (10**6, 0, -4, 64.0, "64", True, None)
    ],
    *[
        (name, value)
        for name in ("acoustic_layers", "branch_layers", "coarse_layers")
        for value in (10**6, 0, -1, 1.5, "1", [1])
    ],
    *[
        (name, value)
        for name in ("acoustic_heads", "hierarchy_heads", "branch_heads")
        for value in (0, 7, -2, 10**9, False)
    ],
    ("acoustic", "bert"),
    ("acoustic", None),
    ("acoustic", ["whisper"]),
    ("acoustic_feed_forward", 10**9),
    ("acoustic_span", 10**9),
    ("acoustic_span", -1),
    ("acoustic_position_kernel", 0),
    ("acoustic_source", 5),
    ("acoustic_source", "x" * 10_000),
    ("acoustic_dropout", 1.0),
    ("acoustic_dropout", -0.1),
    ("hierarchy_dropout", "0"),
    ("branch_dropout", 2),
    ("conv_dim", []),
    ("conv_dim", [256] * 4),
    ("conv_dim", "256"),
    ("conv_kernel", [400, 4]),
    ("conv_kernel", [10**9, 4, 3]),
    ("conv_stride", [0, 2, 2]),
    ("conv_stride", [80, 2, 3]),
    ("conv_stride", [-80, -2, 2]),
    ("conv_stride", [320] * 100),
    ("conv_norm", "layer"),
    ("filter_range", [7600, 80]),
    ("filter_range", [0, 7600]),
    ("filter_range", [80]),
    ("hierarchy_layers", [1, 1, 2]),
    ("hierarchy_layers", [1, 1, 2, 10**6]),
    ("hierarchy_layers", 4),
    ("hierarchy_layers", [1, 1, 2, [2]]),
    ("hierarchy_windows", [3, 10, 9, 0]),
    ("hierarchy_windows", [-3, 11, 9, 0]),
    ("hierarchy_merges", [0, 6, 4]),
    ("hierarchy_merges", [2, 6]),
    ("hierarchy_merges", [7, 6, 4]),
    ("word_token_tokens", 47),
    ("word_token_tokens", 0),
    ("phones", 0),
    ("phones", "40"),
    ("gate_reduction", 0),
    ("gate_reduction", 69),
    ("gate_squeeze_seconds", 1e12),
    ("distance_slopes", [0, 32]),
    ("distance_slopes", [2]),
    ("distance_slopes", [2, float("inf")]),
    ("branch_span", 0),
    ("branch_span", 1e12),
    ("distance_fade", -1),
    ("branch_feed_forward", 10**6),
    ("dense_components", 0),
    ("dense_components", 10**9),
    ("coarse", 1),
    ("coarse", "yes"),
    ("gating", None),
    ("fusion", 0.0),
    ("single_branch", []),
    ("levels", []),
    ("levels", ["frame", "frame"]),
    ("levels", ["sentence"]),
    ("levels", "frame"),
    ("levels", [["frame"]]),
    ("topologies", []),
    ("topologies", {"histalk": 5123}),
    ("topologies", ["histalk"]),
    ("topologies", [["histalk", 0]]),
    ("topologies", [["histalk", "5123"]]),
    ("topologies", [["histalk", 10**12]]),
    ("topologies", [["histalk", -1]]),
    ("topologies", [["", 5]]),
    ("topologies", [["a.b", 5]]),
    ("topologies", [["keys", 5]]),
    ("topologies", [["histalk", 5123]] * 2),
    ("topologies", [[5, 5]]),
    ("topologies", [["histalk", 5123, 1]]),
    ("topologies", [["histalk", True]]),
    ("topologies", "histalk"),
    ("topologies", 5),
    ("topologies", [[["histalk"], 5]]),
    ("unheard", 1),
]


def test_no_field_of_the_config_is_believed(saved, network):
    names = {name for name, _ in WRONG}
    assert names >= {field.name for field in dataclasses.fields(HiSTalkConfig)}
    for name, value in WRONG:
        sentence = refused(saved({name: value}))
        assert "config" in sentence, f"{name} = {value}: {sentence}"
    assert load_checkpoint(saved()).config == network.config, "as it was it is read"


def test_a_huge_network_is_refused_before_memory_is_taken_for_it(saved):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    most = {"acoustic_width": 4096, "acoustic_layers": 64, "acoustic_heads": 64, "acoustic_feed_forward": 16_384}
    assert "million weights" in refused(saved(most))
    assert "million weights" in refused(saved({"topologies": [["histalk", 2_000_000]], "dense_components": 4096}))
    assert "asks for" in refused(saved({"branch_width": 1024})), "large, but possible, and not what the file holds"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kB"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "5",
        '"config"',
        "{",
        "[" * 100_000,
        '{"fps": ' * 5000 + "1" + "}" * 5000,
        '{"fps": ' + "9" * 5000 + "}",
        '{"fps": 30, "fps": 25}',
        '{"fps": NaN}',
        "\0",
        " " * 200_000 + "{}",
        "{}",
    ],
)
def test_a_config_that_is_none_is_refused(saved, text):
    refused(saved(text=text))


CHANGES = {
    "lacks weight": lambda state: state.pop("cmg.components.bias"),
    "has the unknown weight": lambda state: state.update({"more": torch.zeros(3)}),
    "is of type I32": lambda state: state.update({"phone_head.bias": torch.zeros(40, dtype=torch.int32)}),
    "is of type BOOL": lambda state: state.update({"phone_head.bias": torch.zeros(40, dtype=torch.bool)}),
    "integers where": lambda state: state.update({"phone_head.bias": torch.zeros(40, dtype=torch.int64)}),
    "(41,) floats where": lambda state: state.update({"phone_head.bias": torch.zeros(41)}),
    "(0,) floats where": lambda state: state.update({"phone_head.bias": torch.zeros(0)}),
    "() floats where": lambda state: state.update({"phone_head.bias": torch.zeros(())}),
    "'phone_head.bias' holds NaN": lambda state: state["phone_head.bias"].__setitem__(7, float("nan")),
    "'s2d.decoder.enter.weight' holds NaN": lambda state: state["s2d.decoder.enter.weight"].__setitem__(
        (1, 2, 3), float("inf")
    ),
    "'phone_head.weight' holds NaN": lambda state: state.update(
        {"phone_head.weight": torch.full((40, 64), 1e300, dtype=torch.float64)}
    ),
    "'outputs.histalk.basis'": lambda state: state.update({"outputs.histalk.basis": torch.zeros(4, 5122, 3)}),
}


@pytest.mark.parametrize("said", CHANGES)
def test_weights_that_are_not_the_network_s_are_named(saved, said):
    assert said in refused(saved(change=CHANGES[said]))


def test_numbers_of_any_precision_are_read_and_large_ones_too(saved, network):
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        path = saved(change=lambda state: state.update({name: value.to(kind) for name, value in state.items()}))
        read = load_checkpoint(path).state_dict()
        assert all(value.dtype == torch.float32 for value in read.values())
        torch.testing.assert_close(
            read["phone_head.bias"], network.state_dict()["phone_head.bias"], atol=1e-3, rtol=1e-2
        )
    large = copy.deepcopy(network)
    large.phone_head.bias.data[3] = 1e6  # more than half precision can hold
    save_checkpoint(large, path)
    assert load_checkpoint(path).phone_head.bias[3] == 1e6


def test_files_of_other_kinds_are_called_by_their_names(saved, tmp_path):
    def file(data):
        (tmp_path / "other.safetensors").write_bytes(data)
        return tmp_path / "other.safetensors"

    torch.save({"a": torch.zeros(2)}, tmp_path / "weights.pt")
    assert "may run code: convert it to .safetensors" in refused(tmp_path / "weights.pt")
    assert "may run code: convert it to .safetensors" in refused(file(pickle.dumps({"a": 1}, 4)))
    assert "git lfs pull" in refused(file(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"))
    assert "web page" in refused(file(b"<!DOCTYPE html><html></html>"))
    assert "holds no HiSTalk config" in refused(saved(metadata={"format": "pt"}))
    whole = saved().read_bytes()
    for data in (b"", b"\0" * 7, b"\0" * 64, b"\xff" * 64, whole[:100], whole[:-1], whole + b"\0", b"{}" + whole):
        refused(file(data), "safetensors|no HiSTalk config")
    header = b'{"__metadata__":{"config":"{}","config":"{}"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    refused(file(struct.pack("<Q", len(header)) + header + b"\0" * 4))
    header = b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}'
    refused(file(struct.pack("<Q", len(header)) + header))
    os.mkfifo(tmp_path / "pipe.safetensors")
    refused(tmp_path / "pipe.safetensors", "No weights")


def test_damaged_weights_give_a_network_or_one_sentence(saved, tmp_path):
    whole, chance = saved().read_bytes(), random.Random(3)
    size = struct.unpack("<Q", whole[:8])[0]
    path, read = tmp_path / "damaged.safetensors", 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 1, 4])):
            place = chance.randrange(8 + size)
            if chance.random() < 0.7:
                data[place] = chance.choice(b'0123456789{}[]",:-eNaI\0\xff')
            else:
                data[place : place + 2] = data[place : place + 2][::-1]
        path.write_bytes(data)
        try:
            read += isinstance(load_checkpoint(path), HiSTalk)
        except HiSTalkError as error:
            assert str(path) in str(error) and len(str(error).splitlines()) == 1
    assert read < 150


def test_the_wave_preset_is_read_back_with_its_filters(tmp_path):
    model = HiSTalk(dataclasses.replace(wav2vec2_small(50), acoustic_layers=1)).eval()
    save_checkpoint(model, tmp_path / "wave.safetensors", half=False)
    read = load_checkpoint(tmp_path / "wave.safetensors")
    sound = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.no_grad():
        torch.testing.assert_close(read(sound).sparse, model(sound).sparse)


def test_synthesize_ends_with_2_and_one_sentence(saved, tmp_path):
    command = [HISTALK, "synthesize", SPEECH, tmp_path / "out.npz", "--weights", saved({"fps": "fast"})]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    told = [line for line in done.stderr.splitlines() if line.startswith("histalk: ")]
    assert done.returncode == 2 and len(told) == 1 and "fps must be a number from 1 to 240" in told[0], done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_batch_ends_with_2_before_its_first_clip(saved, tmp_path, workers):
    (tmp_path / "lines").mkdir()
    for name in ("a", "b"):
        (tmp_path / "lines" / f"{name}.flac").write_bytes(SPEECH.read_bytes())
    weights = saved(change=CHANGES["'phone_head.bias' holds NaN"])
    command = [
        HISTALK,
        "batch",
        tmp_path / "lines",
        "--out",
        tmp_path / "out",
        "--outputs",
        "npz",
        "--workers",
        workers,
    ]
    done = subprocess.run([*command, "--weights", weights], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "'phone_head.bias' holds NaN" in done.stderr, done.stderr
    assert done.stderr.count("holds NaN") == 1 and not list((tmp_path / "out").rglob("*.npz"))


def test_a_run_s_state_that_is_none_is_refused(tmp_path):
    from histalk_blender.training.run_state import read_state

    path = tmp_path / "state.pt"
    good = {"model": {"a": torch.ones(2)}, "optimiser": {}, "elapsed": 1.0, "step": 3, "heard": 2.0}
    torch.save(good, path)
    assert read_state(path, "cpu")[2].step == 3
    wrong = [{"model": {"a": torch.tensor(float("nan"))}}, {"step": "3"}, {"elapsed": float("nan")}, {"model": [1]}]
    for change in wrong:
        torch.save(good | change, path)
        with pytest.raises(HiSTalkError, match="state.pt' is no state of a run"):
            read_state(path, "cpu")
    for data in (b"", b"PK\3\4 no zip", pickle.dumps(print)):
        path.write_bytes(data)
        with pytest.raises(HiSTalkError, match="state.pt' is no state of a run"):
            read_state(path, "cpu")
