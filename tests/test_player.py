import base64
import html
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from PIL import Image

from companion.player import WINDOW, AttentionPlayer

N, T, S, G, SIDE = 12, 8, 3, 8, 60
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def example() -> dict:
    """12 canvases of 60 x 60 with 8 glimpses of 3 scales; the last glimpse is centred in the true box."""
    rng = np.random.default_rng(0)
    centre = rng.uniform(0, SIDE, (N, T, 1, 2))
    half = (G << np.arange(S))[:, None] / 2
    return {
        "images": rng.random((N, SIDE, SIDE)),
        "boxes": np.concatenate([centre - half, centre + half], -1),
        "truth": np.concatenate([centre[:, -1, 0] - 5, centre[:, -1, 0] + 5], -1),
        "labels": [f"true {n % 10}, read 7" for n in range(N)],
        "patches": rng.random((N, T, S, G, G)),
        "subject": "digit",
    }


def data(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def decoded(text: str, *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)


@pytest.fixture(scope="module")
def page() -> str:
    return AttentionPlayer(**example()).page()


def test_page_needs_nothing_from_outside(page):
    assert not re.search(r"https?:|//\w+\.|<link|@import|url\((?!#)|fetch\(|XMLHttpRequest|import\(", page)
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'src="([^"]*)"', page))
    assert "default-src 'none'" in page


def test_page_is_small(page):
    assert len(page) < 200_000


def test_same_input_same_bytes(page):
    assert AttentionPlayer(**example()).page() == page


def test_pixels_boxes_and_patches_come_back(page):
    given, back = example(), data(page)
    np.testing.assert_allclose(decoded(back["images"], N, SIDE, SIDE) / 255, given["images"], atol=0.5 / 255)
    patches = decoded(back["patches"], N, T, S, G, G) / 255
    np.testing.assert_allclose(patches, given["patches"], atol=0.5 / 255)
    np.testing.assert_allclose(np.reshape(back["boxes"], (N, T, S, 4)), given["boxes"], atol=0.0501)
    np.testing.assert_allclose(np.reshape(back["truth"], (N, 4)), given["truth"], atol=0.0501)
    assert back["labels"] == given["labels"]


def test_heat_comes_back_over_coloured_frames():
    rng = np.random.default_rng(1)
    frames, heat = rng.integers(0, 256, (2, 3, 6, 8, 3), dtype=np.uint8), rng.random((2, 3, 2, 4)) / 8
    assert data(AttentionPlayer(frames, truth=np.zeros((2, 3, 5, 4))).page())["truths"] == [3, 5]
    back = data(AttentionPlayer(frames, heat=heat, truth=np.zeros((2, 3, 4))).page())
    assert back["images"] is None and len(back["film"]) == 6
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(back["film"][4]))), dtype=float)
    np.testing.assert_allclose(shown.mean((0, 1)), frames[1, 1].mean((0, 1)), atol=5)
    weights = decoded(back["heat"], *heat.shape) / 255 * back["strongest"]
    np.testing.assert_allclose(weights, heat, atol=heat.max() / 500)
    assert back["unit"] == "frame"


def moving() -> dict:
    """Two clips of 3 frames in which a body of 4 joints stands; all weight is on joint 2."""
    weights = np.zeros((2, 3, 4))
    weights[..., 2] = 0.25
    return {
        "images": np.zeros((2, 1, 1)),
        "joints": np.random.default_rng(0).random((2, 3, 4, 2)),
        "weights": weights,
        "acting": np.tile([False, False, True, True], (2, 1)),
        "bones": [(0, 1), (1, 2), (1, 3)],
        "names": ["hip", "neck", "left hand", "right hand"],
    }


def test_joints_and_weights_come_back():
    given = moving()
    given["joints"][1, 2, 3] = np.nan
    back = data(AttentionPlayer(**given).page())
    np.testing.assert_allclose(np.array(back["joints"][:-2], float), given["joints"].ravel()[:-2], atol=5e-4)
    assert back["joints"][-2:] == [None, None] and back["unit"] == "frame"
    assert (decoded(back["weights"], 2, 3, 4) / 255 * back["largest"] == given["weights"]).all()
    assert back["acting"] == [0, 0, 1, 1] * 2 and back["bones"] == [[0, 1], [1, 2], [1, 3]]


def legends(player) -> list[str]:
    """What the legends say of weights, on the page and in the still picture."""
    page = re.findall(r'id="has-(?:heat|weights)".*?</li>', player.page(), re.S)
    shown = [re.sub(r"\s*<.*?>\s*", "", entry[entry.index(">") + 1 :], flags=re.S) for entry in page]
    return [shown, [text.get_text() for text in player.figure().legends[0].get_texts()]]


def test_legends_say_what_the_strongest_colour_and_the_largest_joint_stand_for():
    heat = np.zeros((2, 3, 2, 2))
    heat[1, 2, 0, 1] = 0.037
    page, still = legends(AttentionPlayer(**moving(), heat=heat))
    assert page == ["joint, area by weight, 0 to 0.25", "weight, 0 to 0.037"]
    assert still == ["weight, 0 to 0.037", "joint, area by weight, 0 to 0.25", "joint that acts"]
    page, still = legends(AttentionPlayer(np.zeros((2, 3, 9, 9)), heat=100 * heat))
    assert "weight, 0 to 3.7" in page and still == ["weight, 0 to 3.7"]


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"joints": np.zeros((2, 3, 4))}, "joints .* N T J 2"),
        ({"weights": np.zeros((2, 3, 5))}, "weights .* J = 4"),
        ({"weights": np.full((2, 3, 4), np.nan)}, "weights must be finite weights"),
        ({"acting": np.zeros((2, 5), bool)}, "acting .* J = 4"),
        ({"names": ["hip"]}, "names must be 4 words"),
        ({"joints": None}, "weights and acting say something of joints"),
    ],
)
def test_wrong_joints_are_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        AttentionPlayer(**moving() | change)


def test_unknown_boxes_are_left_out():
    given = example()
    given["boxes"][0, 2] = np.nan
    player = AttentionPlayer(**given)
    boxes = data(player.page())["boxes"]
    assert boxes.count(None) == S * 4 and boxes[2 * S * 4 : 3 * S * 4] == [None] * S * 4


def test_text_from_outside_stays_text():
    text = """</script><script>alert(1)</script><img src=x onerror='a'> & "$x$ @data@"""
    given = example() | {"labels": [text] * N, "subject": text, "title": text}
    bundle = AttentionPlayer(**given)._repr_mimebundle_()
    inner = html.unescape(re.search('srcdoc="([^"]*)"', bundle["text/html"])[1])
    for page in (AttentionPlayer(**given).page(), inner):
        assert page.count("<script") == page.count("</script") == 2 and "<img src=x" not in page
        assert data(page)["labels"][0] == text
    assert "<script" not in bundle["text/html"]


@pytest.mark.parametrize(
    "name, value, sentence",
    [
        ("images", np.zeros((SIDE, SIDE)), r"images is float64 of shape \(60, 60\); it must be .* N H W or"),
        ("images", np.zeros((0, SIDE, SIDE)), "images .* at least 1"),
        ("images", np.full((N, SIDE, SIDE), 1.5), r"images must be uint8 or floats in \[0, 1\]"),
        ("images", np.full((N, SIDE, SIDE), np.nan), "images must be"),
        ("images", np.full((N, SIDE, SIDE), 255), "images must be .* int64, 255 to 255"),
        ("boxes", np.zeros((N, T, 4)), "boxes .* N T S 4 .* N = 12"),
        ("boxes", np.zeros((3, T, S, 4)), "boxes .* N = 12"),
        ("truth", np.zeros((N, 5)), "truth .* N 4 or N T 4 or N T E 4"),
        ("truth", np.zeros((N, T + 1, 4)), "truth .* T = 8"),
        ("heat", np.zeros((N, T + 1, 7, 7)), "heat .* T = 8"),
        ("heat", np.full((N, T, 7, 7), -1.0), "heat must be finite weights of at least 0"),
        ("patches", np.zeros((N, T, S, G, G + 1)), "patches .* N T S g g"),
        ("patches", np.zeros((N, T, S + 1, G, G)), "patches .* S = 3"),
        ("labels", ["one"], "labels must be 12 captions"),
        ("labels", "true 7, read", "labels must be 12 captions"),
    ],
)
def test_wrong_input_is_refused_by_name(name, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        AttentionPlayer(**example() | {name: value})


def test_steps_of_boxes_match_the_frames():
    with pytest.raises(ValueError, match="boxes .* T = 5"):
        AttentionPlayer(np.zeros((N, 5, SIDE, SIDE)), example()["boxes"])


def test_notebook_cell_has_the_frame_and_the_still_picture():
    bundle = AttentionPlayer(**example())._repr_mimebundle_()
    still = base64.b64decode(bundle["image/png"])
    assert len(still) < 60_000
    assert Image.open(io.BytesIO(still)).size[0] > 600
    cell = bundle["text/html"]
    assert 'sandbox="allow-scripts"' in cell and cell.count("srcdoc=") == 1
    assert "the first 3 of 12 samples; true 0, read 7" in re.search('<img alt="([^"]*)"', cell)[1]


def test_save_writes_the_page(page, tmp_path):
    assert AttentionPlayer(**example()).save(tmp_path / "new" / "player.html").read_text() == page


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed, so no browser opens the page")
@pytest.mark.parametrize(
    "kind, sentence",
    [
        ("image", "image 1 of 12, glimpse 8 of 8: centre on the digit"),
        ("clip", "clip 1 of 2, frame 1 of 3: largest weight 0.50 beside the object"),
        ("joints", "clip 1 of 2, frame 1 of 3: largest weight 0.25 on left hand"),
        ("clouds", "clip 1 of 3, frame 1 of 4: 4 glimpses, 4 on the object"),
    ],
)
def test_browser_says_where_the_model_looks(kind, sentence, tmp_path):
    if kind == "image":
        player = AttentionPlayer(**example())
    elif kind == "joints":
        player = AttentionPlayer(**moving())
    elif kind == "clouds":
        player = AttentionPlayer(**clouds(), truth=np.tile([0, 0, 99, 99], (3, 1)))
    else:
        heat = np.zeros((2, 3, 2, 2))
        heat[:, :, 1, 1] = 0.5
        player = AttentionPlayer(np.zeros((2, 3, 20, 20)), heat=heat, truth=np.tile([0, 0, 10, 10], (2, 1)))
    file = player.save(tmp_path / "player.html")
    alone = "--headless --no-sandbox --disable-gpu --no-first-run --disable-component-update".split()
    alone += ["--disable-background-networking", f"--user-data-dir={tmp_path}/profile"]
    command = [CHROMIUM, *alone, "--dump-dom", file.as_uri()]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    assert re.search('<p id="line">(.*?)</p>', seen)[1] == sentence


def clouds() -> dict:
    """Three films of four frames with five glimpses each, dealt to three workers."""
    rng = np.random.default_rng(2)
    corner = rng.uniform(0, 40, (3, 4, 5, 2))
    boxes = np.concatenate([corner, corner + 12], -1)
    boxes[0, :2, 0] = np.nan
    images = rng.integers(0, 256, (3, 4, 36, 64, 3), dtype=np.uint8)
    return {"images": images, "clouds": boxes, "workers": rng.random((3, 4, 5, 3))}


def test_clouds_come_back_with_the_colours_of_their_workers():
    given = clouds()
    player = AttentionPlayer(**given)
    back = data(player.page())
    boxes = np.array(back["clouds"], float).reshape(given["clouds"].shape)
    np.testing.assert_allclose(boxes, given["clouds"], atol=0.0501)
    assert back["dealt"] == given["workers"].argmax(-1).ravel().tolist()
    names, colours = zip(*back["workers"], strict=True)
    assert names == tuple(f"glimpses of worker {k + 1}" for k in range(3)) and len(set(colours)) == 3
    figure = player.figure()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(names)
    drawn = [patch.get_edgecolor() for patch in figure.axes[1].patches]
    want = [to_rgba(colours[k]) for k in given["workers"][0, 2].argmax(-1)]
    assert [ax.get_title() for ax in figure.axes[:3]] == ["frame 2", "frame 3", "frame 4"]
    assert drawn == want and len(figure.axes[0].patches) == 4  # one is not known
    assert player.unit == "frame"


def test_a_film_stands_still_where_its_truth_is_known():
    truth = np.full((3, 9, 4), np.nan)
    truth[0, 4], truth[1, 2:8] = [4, 4, 9, 9], [4, 4, 9, 9]
    drawn = AttentionPlayer(np.zeros((3, 9, 36, 64, 3)), truth=truth).figure().axes
    frames = [[2, 5, 6], [4, 6, 8], [2, 5, 8]]
    assert [ax.get_title() for ax in drawn] == [f"frame {t}" for row in frames for t in row]
    assert [len(ax.patches) for ax in drawn] == [0, 1, 0, 1, 1, 1, 0, 0, 0]


def test_glimpses_of_nobody_have_one_colour():
    player = AttentionPlayer(**clouds() | {"workers": None})
    assert data(player.page())["workers"] == [["glimpses", WINDOW]]


def test_workers_need_clouds_and_colours():
    with pytest.raises(
        ValueError, match="there are 3 workers, but no clouds; pass clouds as well, and at most 6"
    ):
        AttentionPlayer(**clouds() | {"clouds": None})
    with pytest.raises(ValueError, match="there are 7 workers; pass clouds"):
        AttentionPlayer(**clouds() | {"workers": np.ones((3, 4, 5, 7))})
