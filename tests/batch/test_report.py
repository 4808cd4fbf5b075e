"""The report of a batch: its pictures, its page, its table."""

import csv
import re
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest

from histalk_blender.batch import level_plot as plots
from histalk_blender.batch import thumbnail as portraits
from histalk_blender.batch.report import COLUMNS, write_report
from histalk_blender.errors import HiSTalkError
from histalk_blender.head.head import lip_opening

WICKED = '<script>alert("ö")</script>/=a b&#100%?\'x'


def frames(performance, which: np.ndarray, fps: float = 30.0):
    """Some frames of a performance, in any order and number, at another rate."""
    return replace(
        performance,
        motion=replace(performance.motion, weights=performance.motion.weights[which], fps=fps),
        sparse_displacements=performance.sparse_displacements[which],
        level_displacements=performance.level_displacements[:, which],
        gates=performance.gates[:, which],
    )


@pytest.fixture(scope="module")
def silent(model, head):
    from histalk_blender.synthesis import synthesize

    return synthesize(np.zeros(32000, np.float32), model, head)


def decoded(png: bytes) -> np.ndarray:
    """[H, W, 3] of a PNG with 8 bits and three channels, decoded as the standard says."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        chunks[kind], at = body, at + 12 + length
    width, height, *rest = struct.unpack(">2I5B", chunks[b"IHDR"])
    assert rest == [8, 2, 0, 0, 0] and b"IEND" in chunks
    data = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    image = np.zeros((height + 1, width + 1, 3), int)
    for y, (kind, row) in enumerate(zip(data[:, 0], data[:, 1:].reshape(height, width, 3).astype(int)), 1):
        for x in range(1, width + 1):
            a, b, c = image[y, x - 1], image[y - 1, x], image[y - 1, x - 1]
            near = np.abs([b - c, a - c, a + b - 2 * c]).argmin(0)
            guess = (0, a, b, (a + b) // 2, np.choose(near, [a, b, c]))[kind]
            image[y, x] = (row[x - 1] + guess) % 256
    return image[1:, 1:]


def test_a_thumbnail_shows_the_mouth_at_its_widest(performance, silent):
    png = portraits.thumbnail(performance)
    assert png == portraits.thumbnail(performance) and len(png) < 20_000
    spoken, still = decoded(png), decoded(portraits.thumbnail(silent))
    assert spoken.shape == (portraits.SIZE, portraits.SIZE, 3)
    face = spoken[..., 0] - spoken[..., 2] > 25  # skin and lips; the backdrop is grey
    assert 0.4 < face.mean() < 0.9 and 80 < spoken[face].mean() < 190
    changed = np.abs(spoken - still).sum(2) > 40
    assert changed.sum() > 150 and changed[: portraits.SIZE // 2].sum() < 0.1 * changed.sum()


def test_a_thumbnail_is_of_the_widest_frame(performance):
    widest = lip_opening(performance.landmark_positions).argmax()
    assert portraits.thumbnail(frames(performance, np.array([widest]))) == portraits.thumbnail(performance)


def test_png_round_trip():
    image = np.random.default_rng(0).integers(0, 256, (9, 13, 3)).astype(np.uint8)
    image[4:] = np.arange(39).reshape(13, 3)
    assert (decoded(portraits._png(image)) == image).all()


def test_the_nearest_front_face_is_visible():
    corners = np.array([[[0, 0], [0, 20], [20, 0]], [[0, 0], [0, 20], [20, 0]], [[0, 0], [20, 0], [0, 20]]], float)
    depth = np.array([0.1, 0.3, 0.9])[:, None, None] + np.zeros((3, 3, 1))
    pixels, owners, shares = portraits._visible(np.concatenate([corners, depth], 2), 32)
    assert set(owners) == {1} and len(pixels) == pytest.approx(200, abs=12)
    place = np.einsum("pc,cd->pd", shares, corners[1])
    assert np.allclose(place, np.stack([pixels % 32, pixels // 32], 1) + 0.5, atol=1e-4)
    depth[1, :, 0] = 0.2, 0.2, -0.2  # it passes behind the first one at x = 5
    pixels, owners, _ = portraits._visible(np.concatenate([corners, depth], 2), 32)
    assert set(owners[pixels % 32 < 5]) == {1} and set(owners[pixels % 32 >= 5]) == {0}


def curve(svg: str, kind: str) -> np.ndarray:
    """[N, 2] the points of a path, in pixels."""
    (path,) = re.findall(rf'class="{kind}" d="M([^"VHz]+)', svg)
    numbers = np.array(re.findall(r"-?\d+", path), float).reshape(-1, 2)
    return np.cumsum(numbers, 0) / plots.UNITS


def test_a_plot_shows_gates_shares_and_lips(performance):
    svg = plots.level_plot(performance)
    assert svg == plots.level_plot(performance)
    words = [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]
    assert [words.count(name) for name in ("frame", "phoneme", "word", "utterance")] == [1] * 4
    top = float(re.search(r"weight 0–([\d.]+)", svg)[1])
    for i in range(4):
        x, y = curve(svg, f"l c{i}").T
        high, low = plots.GATES_Y
        assert x[0] == plots.LEFT and x[-1] == plots.RIGHT and (np.diff(x) >= 0).all()
        assert top * (low - y[1:-1].mean()) / (low - high) == pytest.approx(performance.gates[i].mean(), abs=0.01)
    sizes = np.linalg.norm(performance.level_displacements, axis=3).mean(2)
    high, low = plots.SHARES_Y
    tops = [(low - curve(svg, f"a c{i}")[1:-1, 1].mean()) / (low - high) for i in range(4)]
    assert np.diff([0, *tops]) == pytest.approx((sizes / sizes.sum(0)).mean(1), abs=0.02) and tops[3] == 1
    opening = 1000 * lip_opening(performance.landmark_positions)
    high, low = plots.LIPS_Y
    widest = float(re.search(r"lips 0–(\d+) mm", svg)[1])
    assert widest * (low - curve(svg, "o")[:, 1].min()) / (low - high) == pytest.approx(opening.max(), abs=0.5)


@pytest.mark.parametrize(("count", "fps"), [(1, 30.0), (2, 30.0), (plots.POINTS + 1, 30.0), (10_800, 3.0)])
def test_plots_of_any_length_are_small(performance, count, fps):
    """One frame to an hour."""
    svg = plots.level_plot(frames(performance, np.arange(count) % len(performance.motion), fps))
    ElementTree.fromstring(svg)
    assert len(svg.encode()) < 15_000 and len(curve(svg, "o")) == min(count, plots.POINTS) + 2
    assert "nan" not in svg and svg.count('class="k"') in range(1, 10)


def test_silence_has_a_plot(silent):
    svg = plots.level_plot(silent)
    assert "nan" not in svg and len(set(curve(svg, "l c2")[:, 1])) == 1


def test_pictures_need_no_torch_and_no_bpy():
    modules = "sys, histalk_blender.batch.thumbnail, histalk_blender.batch.level_plot, histalk_blender.batch.report"
    code = f"import {modules}; print({{'torch', 'bpy', 'matplotlib'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def clip(i: int, state: str = "done", **changes) -> dict:
    done = state == "done"
    return {
        "name": f"shot{i % 7}/clip{i}",
        "row": i + 2,
        "audio": f"/in/{i}.wav",
        "state": state,
        "error": "" if state != "failed" else f"'/in/{i}.wav' is empty: record it again.",
        "remarks": [],
        "settings": {"fps": 25, "lips": 1.2},
        "seconds": 10.0 if done else None,
        "decode_s": 0.1 if done else None,
        "network_s": 0.5 if done else None,
        "write_s": 0.4 if done else None,
        "finished": 1.8e9 if done else None,
        "outputs": [{"path": f"shot{i % 7}/clip{i}.npz", "bytes": 1_230_000, "sha256": f"{i:064x}"}] if done else [],
    } | changes


class Page(HTMLParser):
    """Tags with their attributes, and the text of each article's heading."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags, self.names, self.text, self.inside = [], [], "", ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = tag
        if tag == "h2":
            self.names.append("")

    def handle_endtag(self, tag):
        self.inside = "name" if tag == "b" else ""

    def handle_data(self, data):
        self.text += data
        if self.inside == "name":
            self.names[-1] += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def table(path: Path) -> list[dict]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_all_clips_are_listed_with_failed_ones_first(tmp_path):
    states = ["done", "failed", "waiting", "done", "running", "failed", "done"]
    rows = [clip(i, state) for i, state in enumerate(states)]
    paths = write_report(rows[::-1], tmp_path, "pictures")
    assert [path.name for path in paths] == ["report.html", "report.csv"] and len(list(tmp_path.iterdir())) == 2
    page, cells = Page(paths[0]), table(paths[1])
    order = [1, 5, 0, 2, 3, 4, 6]
    assert page.names == [rows[i]["name"] for i in order] == [row["name"] for row in cells]
    assert [a["class"] for a in page.all("article")] == [rows[i]["state"] for i in order]
    assert list(cells[0]) == list(COLUMNS) and cells[2]["sha256"] == f"{0:064x}" and cells[2]["bytes"] == "1230000"
    assert rows[1]["error"] in page.text and cells[0]["error"] == rows[1]["error"] and cells[0]["seconds"] == ""
    assert "compute seconds per hour of speech360" in page.text and "real-time factor0.1" in page.text
    before = [path.read_bytes() for path in paths]
    write_report(rows, tmp_path, "pictures")
    assert [path.read_bytes() for path in paths] == before


def test_names_from_users_are_escaped(tmp_path):
    rows = [
        clip(0, name=WICKED, audio=WICKED, remarks=[WICKED, "second"], settings={WICKED: WICKED}),
        clip(1, "failed", name='"><img src=x onerror=alert(1)>', error="<b>bold</b>"),
    ]
    rows[0]["outputs"][0]["path"] = WICKED + ".npz"
    plain = write_report([clip(0), clip(1, "failed")], tmp_path, "pictures")[0]
    expected = {tag: len(Page(plain).all(tag)) for tag in ("script", "img", "b")}
    page = Page(write_report(rows, tmp_path, "pictures")[0])
    assert {tag: len(page.all(tag)) for tag in expected} == expected
    assert page.names == [rows[1]["name"], WICKED] and page.text.count(WICKED) >= 5
    links = [a["href"] for a in page.all("a") if a["href"].startswith("./")]
    assert [unquote(link) for link in links] == [f"./{WICKED}.npz"] and not set(links[0]) & set("<>\"'?#& ")


def test_links_stay_below_the_folder(tmp_path):
    outputs = [{"path": path, "bytes": 1, "sha256": ""} for path in ("javascript:alert(1)", "//host/x")]
    page = Page(write_report([clip(0, outputs=outputs)], tmp_path, "pictures")[0])
    assert [a["href"] for a in page.all("a") if "#" not in a["href"]] == ["./javascript%3Aalert%281%29", ".///host/x"]


def test_only_existing_pictures_are_linked(tmp_path, performance):
    name = "a b/ö#1%"
    (tmp_path / "pictures" / "a b").mkdir(parents=True)
    (tmp_path / "pictures" / f"{name}.png").write_bytes(portraits.thumbnail(performance))
    (tmp_path / "pictures" / f"{name}.svg").write_text(plots.level_plot(performance), encoding="utf-8")
    images = Page(write_report([clip(0, name=name), clip(1)], tmp_path, "pictures")[0]).all("img")
    assert [unquote(image["src"]) for image in images] == [f"./pictures/{name}.png", f"./pictures/{name}.svg"]
    assert all(image["loading"] == "lazy" and (tmp_path / unquote(image["src"])).is_file() for image in images)


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"])
def test_no_cell_is_a_formula(tmp_path, start):
    row = clip(0, name=start, error=start, remarks=[start], audio=start)
    (cells,) = table(write_report([row], tmp_path, "pictures")[1])
    assert [cells[key] for key in ("name", "error", "remarks", "audio")] == ["'" + start] * 4


def test_names_that_cannot_be_encoded_are_replaced(tmp_path):
    rows = [clip(0, "failed", name="lone\ud800", error="bad\udcff name"), clip(1, name="bad\udcff", outputs=[])]
    page = Page(write_report(rows, tmp_path, "pictures")[0])
    assert page.names == ["lone?", "bad?"]


def test_an_empty_batch_has_a_report(tmp_path):
    page, cells = write_report([], tmp_path, "pictures")
    assert "hours of speech0.00" in Page(page).text and table(cells) == []


def test_ten_thousand_clips_take_less_than_two_seconds(tmp_path):
    rows = [clip(i, "failed" if i % 50 == 0 else "done") for i in range(10_000)]
    before = time.process_time()
    page, cells = write_report(rows, tmp_path, "pictures")
    assert time.process_time() - before < 2
    assert len(table(cells)) == 10_000 and page.stat().st_size < 10_000_000


def test_an_older_report_survives_a_failed_write(tmp_path):
    with pytest.raises(HiSTalkError, match="report.html.*cannot be written"):
        write_report([], tmp_path / "missing", "pictures")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(HiSTalkError, match="cannot be written"):
        write_report([], tmp_path, "pictures")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
