"""The attention player: one self-contained HTML page that shows where a model looked, step by step.

No kernel and no network: pixels, boxes and weights stand inside the page as base64 and JSON. Where
scripts do not run, a still picture of the first samples stands in its place. Nothing moves before play
is pressed.

Letters: N samples, T steps (glimpses or frames), S scales of a glimpse, g samples on a glimpse's side,
H W the size of an image, h w of a heat map, J joints.
"""

import base64
import html
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Num, UInt8, jaxtyped
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image

from companion.files import write_whole

SHAPES = {
    "images": ("N H W", "N T H W", "N T H W 3"),
    "boxes": ("N T S 4",),
    "truth": ("N 4", "N T 4"),
    "heat": ("N T h w",),
    "patches": ("N T S g g",),
    "joints": ("N T J 2",),
    "weights": ("N T J",),
    "acting": ("N J",),
}
WINDOW, TRUTH = "#E69F00", "#56B4E9"  # of Okabe and Ito, told apart by colour-blind readers
STAGE = (420, 360)  # the picture's largest width and height, CSS pixels
ROWS, COLUMNS = 3, 6  # samples and steps of the still picture

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<title>@title@</title>
<style>
:root { --back: #fff; --ink: #1a1a1a; --quiet: #595959; --edge: #8a8a8a;
  --outside: #e0e0e0; --accent: #0072b2 }
@media (prefers-color-scheme: dark) { :root { --back: #111; --ink: #e8e8e8; --quiet: #adadad; --edge: #777;
  --outside: #3c3c3c; --accent: #56b4e9 } }
body { margin: 0; font: 14px/1.4 system-ui, sans-serif; color: var(--ink) }
main { display: none; padding: 8px; max-width: 700px; background: var(--back) }
.scripts { color-scheme: light dark; background: var(--back) }
.scripts main { display: block }
h1 { font-size: 15px; margin: 0 0 6px }
.show { display: flex; flex-wrap: wrap; gap: 8px 20px; align-items: flex-start }
.side { flex: 1 1 200px; min-width: 180px; display: flex; flex-direction: column; gap: 10px }
canvas { display: block; background: var(--outside) }
#stage:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
#label { font-weight: 600 }
#seen { display: flex; flex-wrap: wrap; gap: 10px }
#seen canvas { width: 64px; height: 64px; border: 2px solid @window@; background: none }
.quiet, figcaption, .legend { color: var(--quiet); font-size: 12px }
.legend { list-style: none; padding: 0; display: grid; gap: 3px }
.legend li { display: flex; align-items: center; gap: 8px }
.legend svg { flex: none; background: #333 }
.controls { display: grid; grid-template-columns: 4.2em auto minmax(80px, 1fr) auto 4em; gap: 4px 8px;
  align-items: center; margin-top: 8px }
.controls input { width: 100%; margin: 0; accent-color: var(--accent) }
.controls output { font-variant-numeric: tabular-nums }
button, select { font: inherit; font-size: 13px; color: inherit; background: transparent; padding: 1px 8px;
  border: 1px solid var(--edge); border-radius: 4px; min-height: 26px }
select option { background: var(--back) }
#play { width: 5em }
button:focus-visible, select:focus-visible { outline: 2px solid var(--accent) }
[hidden] { display: none !important }
p, figure, .legend { margin: 0 }
</style>
</head>
<body>
<noscript>@still@</noscript>
<main>
<h1>@title@</h1>
<div class="show">
<canvas id="stage" role="img" tabindex="0"></canvas>
<div class="side">
<div id="live" aria-live="polite"><p id="label"></p><p id="line"></p></div>
<figure id="inset"><div id="seen"></div>
<figcaption>what the glimpse sees<span class="scales">, fine to coarse</span></figcaption></figure>
<ul class="legend">
<li id="has-boxes"><svg width="26" height="16"><rect x="4" y="3" width="18" height="10" fill="none"
 stroke="@window@" stroke-width="2.5"/></svg>
<span>current window<span class="scales">, finest scale thickest</span></span></li>
<li id="has-path"><svg width="26" height="16"><path d="M4 12 L13 4 L22 11" fill="none" stroke="@window@"
 stroke-width="1.5"/><g fill="@window@"><circle cx="4" cy="12" r="2.5"/><circle cx="13" cy="4" r="2.5"/>
<circle cx="22" cy="11" r="2.5"/></g></svg>earlier windows, scan path</li>
<li id="has-truth"><svg width="26" height="16"><rect x="4" y="3" width="18" height="10" fill="none"
 stroke="@truth@" stroke-width="2" stroke-dasharray="4 3"/></svg><span>true box of the @subject@</span></li>
<li id="has-weights"><svg width="26" height="16"><circle cx="7" cy="8" r="2" fill="@window@"/>
<circle cx="18" cy="8" r="6" fill="@window@"/></svg><span>joint, area by weight</span></li>
<li id="has-acting"><svg width="26" height="16"><circle cx="13" cy="8" r="5" fill="none" stroke="@truth@"
 stroke-width="2"/></svg><span>joint that acts</span></li>
<li id="has-heat"><svg width="26" height="16"><linearGradient id="ramp"><stop stop-color="@window@"
 stop-opacity="0"/><stop offset="1" stop-color="@window@" stop-opacity=".8"/></linearGradient><rect width="26"
 height="16" fill="url(#ramp)"/></svg><span>weight, 0 to <span id="top"></span></span></li>
</ul>
</div>
</div>
<div class="controls">
<label for="n" id="n-name"></label>
<span><button id="previous">&lsaquo;</button> <button id="next">&rsaquo;</button></span>
<input id="n" type="range" min="1"><output id="n-of" for="n"></output><span></span>
<label for="t" id="t-name"></label><button id="play">play</button>
<input id="t" type="range" min="1"><output id="t-of" for="t"></output>
<select id="speed" aria-label="speed">
<option value="1600">0.5x</option><option value="800" selected>1x</option>
<option value="400">2x</option><option value="200">4x</option>
</select>
</div>
<p class="quiet">Keys: left and right step, up and down change the sample, space plays.</p>
</main>
<script type="application/json" id="data">@data@</script>
<script>
const $ = id => document.getElementById(id), d = JSON.parse($('data').textContent)
const bytes = text => text && Uint8Array.from(atob(text), c => c.charCodeAt(0))
const {N, T, H, W, S = 1, h, w, g: side} = d.sizes, F = d.frames, [X0, Y0, X1, Y1] = d.view
const film = d.film && d.film.map(data => Object.assign(new Image(), {src: 'data:image/jpeg;base64,' + data}))
const images = bytes(d.images), heat = bytes(d.heat), patches = bytes(d.patches), weights = bytes(d.weights)
const step = d.unit, sample = step == 'frame' ? 'clip' : 'image', J = d.sizes.J
let n = 0, t = step == 'frame' ? 0 : T - 1, timer = null

function four(flat, i) {  // a box x0 y0 x1 y1, or null where it is not known
  const box = flat ? flat.slice(4 * i, 4 * i + 4) : [null]
  return box.includes(null) ? null : box
}
const glimpse = (t, s) => four(d.boxes, (n * T + t) * S + s)
const truth = () => four(d.truth, n * d.truths + t % d.truths)
const centre = box => [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]

function bitmap(width, height, colour) {
  const canvas = document.createElement('canvas'), image = new ImageData(width, height)
  for (let k = 0; k < width * height; k++) image.data.set(colour(k), 4 * k)
  canvas.width = width, canvas.height = height
  canvas.getContext('2d').putImageData(image, 0, 0)
  return canvas
}

function drawStage() {
  const width = Math.min(d.stage[0], document.documentElement.clientWidth - 16), scale = width / (X1 - X0)
  const height = Math.round((Y1 - Y0) * scale), sharp = devicePixelRatio || 1, stage = $('stage')
  stage.width = Math.round(width * sharp), stage.height = Math.round(height * sharp)
  stage.style.width = width + 'px', stage.style.height = height + 'px'
  const pen = stage.getContext('2d')
  const x = v => Math.round((v - X0) * scale), y = v => Math.round((v - Y0) * scale)
  pen.setTransform(sharp, 0, 0, sharp, 0, 0)
  pen.imageSmoothingEnabled = false
  const cover = picture => pen.drawImage(picture, x(0), y(0), x(W) - x(0), y(H) - y(0))

  const now = n * F + t % F
  cover(film ? film[now] : bitmap(W, H, k => [...Array(3).fill(images[now * H * W + k]), 255]))
  if (heat) {
    const from = (n * T + t) * h * w
    cover(bitmap(w, h, k => [230, 159, 0, .8 * heat[from + k]]))
  }

  function stroke(path, colour, width, alpha = 1, dash = []) {  // a dark rim keeps lines visible on white
    pen.lineJoin = 'round'
    pen.globalAlpha = .6 * alpha, pen.strokeStyle = '#000', pen.lineWidth = width + 2, pen.setLineDash([])
    if (!dash.length) pen.stroke(path)
    pen.globalAlpha = alpha, pen.strokeStyle = colour, pen.lineWidth = width, pen.setLineDash(dash)
    pen.stroke(path)
    pen.globalAlpha = 1
  }
  function rectangle(box) {
    const path = new Path2D()
    path.rect(x(box[0]), y(box[1]), x(box[2]) - x(box[0]), y(box[3]) - y(box[1]))
    return path
  }
  if (d.joints) drawJoints(pen, x, y, stroke)
  if (truth()) stroke(rectangle(truth()), '@truth@', 2, 1, [6, 4])
  if (!d.boxes) return
  const path = new Path2D(), stops = []
  for (let i = 0; i <= t; i++) {
    const box = glimpse(i, 0)
    if (!box) continue
    const [cx, cy] = centre(box).map((v, k) => k ? y(v) : x(v))
    stops.push([cx, cy, i])
    path.lineTo(cx, cy)
    if (i < t) stroke(rectangle(box), '@window@', 1, .45)
  }
  stroke(path, '@window@', 1.5, .8)
  for (let s = S - 1; s >= 0; s--) {
    const box = glimpse(t, s)
    if (box) stroke(rectangle(box), '@window@', s ? 1.5 : 3)
  }
  pen.font = '600 12px system-ui, sans-serif', pen.textBaseline = 'bottom'
  for (const [cx, cy, i] of stops) {
    pen.beginPath(), pen.arc(cx, cy, i < t ? 3 : 4, 0, 7)
    pen.fillStyle = '@window@', pen.strokeStyle = '#000', pen.lineWidth = 1
    pen.fill(), pen.stroke()
  }
  for (const [cx, cy, i] of stops) {
    pen.strokeStyle = '#000', pen.lineWidth = 3, pen.fillStyle = i < t ? '#fff' : '@window@'
    pen.strokeText(i + 1, cx + 5, cy - 3), pen.fillText(i + 1, cx + 5, cy - 3)
  }
}

function joint(j) {  // x and y, or null where it is not known
  const at = d.joints.slice(2 * ((n * T + t) * J + j), 2 * ((n * T + t) * J + j) + 2)
  return at.includes(null) ? null : at
}

function drawJoints(pen, x, y, stroke) {
  for (const [i, j] of d.bones) {
    if (!joint(i) || !joint(j)) continue
    const path = new Path2D()
    path.moveTo(x(joint(i)[0]), y(joint(i)[1])), path.lineTo(x(joint(j)[0]), y(joint(j)[1]))
    stroke(path, '#bbb', 2)
  }
  for (let j = 0; j < J; j++) {
    if (!joint(j)) continue
    const path = new Path2D(), r = weights ? 2 + 10 * Math.sqrt(weights[(n * T + t) * J + j] / 255) : 3
    path.arc(x(joint(j)[0]), y(joint(j)[1]), r, 0, 7)
    pen.fillStyle = weights ? '@window@' : '#fff', pen.fill(path)
    if (d.acting && d.acting[n * J + j]) stroke(path, '@truth@', 2)
  }
}

function drawSeen() {
  $('seen').replaceChildren(...Array.from({length: S}, (_, s) => {
    const from = ((n * T + t) * S + s) * side * side
    const patch = bitmap(side, side, k => [...Array(3).fill(patches[from + k]), 255])
    patch.style.imageRendering = 'pixelated'
    patch.setAttribute('role', 'img')
    patch.setAttribute('aria-label', `scale ${s + 1}`)
    return patch
  }))
}

function says() {
  const on = ([x, y]) => {
    const box = truth()
    if (!box) return ''
    return (x >= box[0] && x < box[2] && y >= box[1] && y < box[3] ? 'on the ' : 'beside the ') + d.subject
  }
  const parts = []
  if (d.boxes) {
    const box = glimpse(t, 0), [x, y] = box ? centre(box) : []
    parts.push(box ? 'centre ' + (on([x, y]) || `at x ${x.toFixed(1)}, y ${y.toFixed(1)}`) : 'no glimpse')
  }
  if (heat) {
    const map = heat.subarray((n * T + t) * h * w, (n * T + t + 1) * h * w)
    const k = map.indexOf(map.reduce((a, b) => Math.max(a, b))), x = (k % w + .5) * W / w
    const where = on([x, (Math.floor(k / w) + .5) * H / h])
    parts.push(`largest weight ${(map[k] / 255 * d.top).toPrecision(2)}${where ? ' ' + where : ''}`)
  }
  if (weights) {
    const all = weights.subarray((n * T + t) * J, (n * T + t + 1) * J)
    const j = all.indexOf(all.reduce((a, b) => Math.max(a, b)))
    parts.push(`largest weight ${(all[j] / 255 * d.top).toPrecision(2)} on ${d.names[j]}`)
  }
  return `${sample} ${n + 1} of ${N}, ${step} ${t + 1} of ${T}${parts.length ? ': ' + parts.join(', ') : ''}`
}

function draw() {
  drawStage()
  if (patches) drawSeen()
  $('label').textContent = d.labels ? d.labels[n] : ''
  $('line').textContent = says()
  $('stage').setAttribute('aria-label', says())
  $('n').value = n + 1, $('t').value = t + 1
  $('n-of').textContent = `${n + 1} / ${N}`, $('t-of').textContent = `${t + 1} / ${T}`
}
function go(i, j) {
  n = (i + N) % N, t = (j + T) % T
  draw()
}
function play(on) {
  clearInterval(timer)
  timer = on ? setInterval(() => go(n, t + 1), +$('speed').value) : null
  $('play').textContent = on ? 'pause' : 'play'
  $('live').setAttribute('aria-live', on ? 'off' : 'polite')  // a voice cannot keep up with it
}

$('n').max = N, $('t').max = T, $('n-name').textContent = sample, $('t-name').textContent = step
for (const way of ['previous', 'next']) $(way).setAttribute('aria-label', `${way} ${sample}`)
$('has-boxes').hidden = !d.boxes, $('has-path').hidden = !d.boxes || T < 2
document.querySelectorAll('.scales').forEach(words => words.hidden = S < 2)
$('has-truth').hidden = !d.truth, $('has-heat').hidden = !heat, $('inset').hidden = !patches
$('has-weights').hidden = !weights, $('has-acting').hidden = !d.acting
$('top').textContent = heat ? d.top.toPrecision(2) : ''
$('play').disabled = T < 2, $('previous').disabled = $('next').disabled = N < 2
$('n').oninput = () => go($('n').value - 1, t)
$('t').oninput = () => go(n, $('t').value - 1)
$('previous').onclick = () => go(n - 1, t)
$('next').onclick = () => go(n + 1, t)
$('play').onclick = () => play(!timer)
$('speed').onchange = () => play(!!timer)
const keys = {ArrowLeft: () => go(n, t - 1), ArrowRight: () => go(n, t + 1), ArrowUp: () => go(n - 1, t),
  ArrowDown: () => go(n + 1, t), ' ': () => T > 1 && play(!timer)}
onkeydown = event => {  // sliders, menus and buttons keep the keys that are theirs
  const own = {INPUT: event.key != ' ', SELECT: true, BUTTON: event.key == ' '}[event.target.tagName]
  if (own || !(event.key in keys) || event.altKey || event.ctrlKey || event.metaKey) return
  event.preventDefault()
  keys[event.key]()
}
onresize = draw
document.documentElement.classList.add('scripts')
draw()
if (film) Promise.all(film.map(picture => picture.decode())).then(draw)
</script>
</body>
</html>
"""


class AttentionPlayer:
    """Show where a model looked: the last value of a notebook cell, or a page of its own.

    Arrays may be NumPy's or tensors on the CPU. Boxes are x0 y0 x1 y1 in pixels, half open: pixel i covers
    [i, i + 1). A box with a NaN is not drawn.

    Args:
        images: N H W, N T H W or N T H W 3; float in [0, 1] or uint8.
        boxes: N T S 4, the windows of T glimpses, finest scale first.
        truth: N 4 or N T 4, the box of the true object.
        heat: N T h w, weights of at least 0, stretched over the image.
        labels: N captions, such as "true 7, read 7".
        patches: N T S g g, what the glimpses see; float in [0, 1] or uint8.
        joints: N T J 2, x and y in pixels; a NaN is not drawn. An image of one pixel is a blank ground on
            which x and y run from 0 to 1.
        bones: pairs of joints, drawn as lines.
        weights: N T J, of the joints, at least 0.
        acting: N J, true for the joints that should be attended to.
        names: of the joints.
        subject: what the true box holds, such as "digit".
        title: above the picture.

    Raises:
        ValueError: a wrong shape or value; the sentence names the argument.
    """

    def __init__(
        self,
        images: Any,
        boxes: Any = None,
        truth: Any = None,
        heat: Any = None,
        labels: Sequence[str] | None = None,
        patches: Any = None,
        joints: Any = None,
        weights: Any = None,
        acting: Any = None,
        bones: Sequence[tuple[int, int]] = (),
        names: Sequence[str] | None = None,
        subject: str = "object",
        title: str = "Where the model looks",
    ) -> None:
        given = {"images": images, "boxes": boxes, "truth": truth, "heat": heat, "patches": patches}
        given |= {"joints": joints, "weights": weights, "acting": acting}
        given = {name: np.asarray(array) for name, array in given.items() if array is not None}
        sizes: dict[str, int] = {}
        with jaxtyped("context"):  # a letter stands for one size in all arguments
            for name, array in given.items():
                fits = [
                    shape
                    for shape in SHAPES[name]
                    if isinstance(array, Num[np.ndarray, shape] | Bool[np.ndarray, shape])
                ]
                if not fits or not array.size:
                    known = ", ".join(f"{letter} = {size}" for letter, size in sizes.items())
                    raise ValueError(
                        f"{name} is {array.dtype} of shape {array.shape}; it must be numbers of shape"
                        f" {' or '.join(SHAPES[name])} with letters of at least 1{known and ', '}{known}"
                    )
                letters = zip(fits[0].split(), array.shape, strict=True)
                sizes |= {letter: size for letter, size in letters if letter.isalpha()}
        if labels is not None and (isinstance(labels, str) or len(labels) != sizes["N"]):
            raise ValueError(f"labels must be {sizes['N']} captions, one for each of images")

        self.sizes = {"T": 1, **sizes}
        N, T, H, W = (self.sizes[letter] for letter in "NTHW")
        frames = T if given["images"].ndim > 3 else 1
        self.images = as_bytes("images", given["images"]).reshape(N, frames, H, W, -1)
        self.patches = as_bytes("patches", given["patches"]) if "patches" in given else None
        self.boxes = given["boxes"].astype(float).round(1) if "boxes" in given else None
        self.truth = given["truth"].astype(float).round(1).reshape(N, -1, 4) if "truth" in given else None
        self.joints = given["joints"].astype(float).round(3) if "joints" in given else None
        self.acting = given["acting"].astype(int) if "acting" in given else None
        self.bones, self.names = [list(bone) for bone in bones], names
        if "joints" not in given and {"weights", "acting"} & set(given):
            raise ValueError("weights and acting say something of joints; pass joints as well")
        if "joints" in given and names is not None and len(names) != sizes["J"]:
            raise ValueError(f"names must be {sizes['J']} words, one for each of joints")
        self.heat, self.top = scaled("heat", given)
        self.weights, top = scaled("weights", given)
        self.top = top or self.top
        self.labels = None if labels is None else [str(label) for label in labels]
        self.subject, self.title = subject, title
        still = frames == 1 and "joints" not in given
        self.unit = "glimpse" if still or "boxes" in given else "frame"
        self.view = view(H, W, self.boxes)

    def page(self) -> str:
        """The player as one HTML document."""
        return self._document(self._picture(self.still()))

    def save(self, path: str | Path) -> Path:
        """Write the page to `path`, whole or not at all."""
        return write_whole(path, self.page())

    def still(self) -> bytes:
        """A PNG of the first samples (rows) over their steps (columns)."""
        rows = min(ROWS, len(self.images))
        steps = np.unique(np.linspace(0, self.sizes["T"] - 1, COLUMNS).round().astype(int)).tolist()
        x0, y0, x1, y1 = self.view
        row = 1.3 * (y1 - y0) / (x1 - x0) + (0.25 if self.labels else 0.05)
        figure = Figure((1.35 * max(len(steps), 3), rows * row + 0.6), layout="constrained")
        figure.get_layout_engine().set(hspace=0.15 if self.labels else 0)
        figure.suptitle(self.title, fontsize=10, parse_math=False)
        for n, line in enumerate(figure.subplots(rows, len(steps), squeeze=False)):
            for ax, t in zip(line, steps, strict=True):
                self._panel(ax, n, t)
            if self.labels:
                place = {"transform": line[0].transAxes, "va": "top", "fontsize": 8, "parse_math": False}
                caption = line[0].text(0, -0.03, self.labels[n], **place)
                caption.set_in_layout(False)  # a long one does not push the panels apart
            if n == 0 and len(steps) > 1:
                for ax, t in zip(line, steps, strict=True):
                    ax.set_title(f"{self.unit} {t + 1}", fontsize=8, pad=3)
        subject = self.subject.replace("$", r"\$")  # no mathematics
        marks = [
            (self.boxes, {"color": WINDOW, "marker": "o", "markersize": 3, "label": "glimpses"}),
            (self.truth, {"color": TRUTH, "linestyle": "--", "label": f"true box of the {subject}"}),
            (self.heat, {"color": WINDOW, "linewidth": 7, "alpha": 0.6, "label": "weight"}),
            (
                self.weights,
                {"color": WINDOW, "marker": "o", "linestyle": "", "label": "joint, area by weight"},
            ),
            (
                self.acting,
                {"mec": TRUTH, "mfc": "none", "marker": "o", "linestyle": "", "label": "joint that acts"},
            ),
        ]
        handles = [Line2D([], [], **style) for array, style in marks if array is not None]
        if handles:
            figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=8, frameon=False)
        drawn, small = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, dpi=100)
        Image.open(drawn).convert("RGB").quantize(64).save(small, "PNG", optimize=True)
        return small.getvalue()

    def _panel(self, ax: Axes, n: int, t: int) -> None:
        """Draw one sample at one step, with the path that led there."""
        x0, y0, x1, y1 = self.view
        N, frames, H, W, C = self.images.shape
        cover = {"extent": (0, W, H, 0), "interpolation": "nearest"}
        frame = self.images[n, t % frames]
        ax.imshow(frame if C == 3 else frame[..., 0], cmap="gray", vmin=0, vmax=255, **cover)
        if self.heat is not None:
            tint = np.full((*self.heat.shape[2:], 4), to_rgba(WINDOW))
            tint[..., 3] = 0.8 * self.heat[n, t] / 255
            ax.imshow(tint, **cover)
        ax.set(xlim=(x0, x1), ylim=(y1, y0), xticks=[], yticks=[], facecolor="0.88")
        if self.joints is not None:
            x, y = self.joints[n, t].T
            for bone in self.bones:
                ax.plot(x[bone], y[bone], color="0.73", linewidth=1)
            size = 12 if self.weights is None else 3 + 90 * (self.weights[n, t] / 255)
            rims = ["none"] * len(x) if self.acting is None else np.where(self.acting[n], TRUTH, "none")
            ax.scatter(x, y, size, WINDOW, linewidths=0.8, edgecolors=list(rims), zorder=3)

        def rectangle(box, **style):
            if np.isfinite(box).all():
                ax.add_patch(Rectangle(box[:2], *(box[2:] - box[:2]), fill=False, **style))

        if self.truth is not None:
            rectangle(self.truth[n, t % self.truth.shape[1]], color=TRUTH, linestyle="--", zorder=4)
        if self.boxes is not None:
            for s, box in enumerate(self.boxes[n, t]):
                rectangle(box, color=WINDOW, linewidth=0.8 if s else 1.8)
            centres = self.boxes[n, : t + 1, 0].reshape(-1, 2, 2).mean(1)
            centres = centres[np.isfinite(centres).all(1)]
            ax.plot(*centres.T, color=WINDOW, linewidth=1, marker="o", markersize=2.5)

    def _picture(self, still: bytes) -> str:
        shown = f"{self.title}: the first {min(ROWS, len(self.images))} of {len(self.images)} samples"
        alt = html.escape("; ".join([shown, *(self.labels or [])[:ROWS]]))
        data = base64.b64encode(still).decode()
        return f'<img alt="{alt}" style="max-width:100%;max-height:100%" src="data:image/png;base64,{data}">'

    def _document(self, still: str) -> str:
        frame = self.images.shape[2:]
        coloured = frame[-1] == 3
        data = {
            "sizes": self.sizes,
            "frames": self.images.shape[1],
            "view": self.view,
            "stage": self._stage(),
            "unit": self.unit,
            "subject": self.subject,
            "labels": self.labels,
            "images": None if coloured else encoded(self.images),
            "film": [jpeg(frame) for frame in self.images.reshape(-1, *frame)] if coloured else None,
            "patches": encoded(self.patches),
            "boxes": numbers(self.boxes),
            "truth": numbers(self.truth),
            "truths": 0 if self.truth is None else self.truth.shape[1],
            "heat": encoded(self.heat),
            "top": self.top,
            "joints": numbers(self.joints),
            "weights": encoded(self.weights),
            "acting": None if self.acting is None else self.acting.ravel().tolist(),
            "bones": self.bones,
            "names": list(self.names or range(self.sizes.get("J", 0))),
        }
        parts = {
            "title": html.escape(self.title),
            "subject": html.escape(self.subject),
            "still": still,
            "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
            "window": WINDOW,
            "truth": TRUTH,
        }
        return re.sub("@(" + "|".join(parts) + ")@", lambda match: parts[match[1]], PAGE)

    def _stage(self) -> tuple[int, int]:
        """Width and height of the picture on the page, CSS pixels."""
        x0, y0, x1, y1 = self.view
        scale = min(STAGE[0] / (x1 - x0), STAGE[1] / (y1 - y0))
        return round((x1 - x0) * scale), round((y1 - y0) * scale)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        # Sites that strip frames (GitHub) leave the picture, which the frame otherwise covers.
        height = max(self._stage()[1], 230) + 140
        still = self.still()
        title, page = html.escape(self.title), html.escape(self._document(""))
        cell = (
            f'<div style="position:relative;max-width:720px;height:{height}px">{self._picture(still)}'
            f'<iframe title="{title}" sandbox="allow-scripts" srcdoc="{page}"'
            ' style="position:absolute;left:0;top:0;width:100%;height:100%;border:0"></iframe></div>'
        )
        return {"text/html": cell, "image/png": base64.b64encode(still).decode()}


def as_bytes(name: str, array: np.ndarray) -> UInt8[np.ndarray, "..."]:
    """Intensities as 0 to 255, from uint8 or from floats in [0, 1]."""
    if array.dtype == np.uint8:
        return array
    if not (np.issubdtype(array.dtype, np.floating) and array.min() >= 0 and array.max() <= 1):
        raise ValueError(
            f"{name} must be uint8 or floats in [0, 1]; it is {array.dtype}, {array.min()} to {array.max()}"
        )
    return (array * 255).round().astype(np.uint8)


def scaled(name: str, given: dict[str, np.ndarray]) -> tuple[np.ndarray | None, float | None]:
    """Weights as 0 to 255, and what 255 stands for; None where they are not given."""
    if name not in given:
        return None, None
    values = given[name].astype(float)
    if not (np.isfinite(values).all() and values.min() >= 0):
        raise ValueError(f"{name} must be finite weights of at least 0")
    top = float(values.max()) or 1.0
    return as_bytes(name, values / top), top


def view(H: int, W: int, boxes: Float[np.ndarray, "N T S 4"] | None) -> tuple[float, float, float, float]:
    """What to draw, x0 y0 x1 y1 in pixels: the image in a frame that shows windows beyond its border."""
    known = np.empty((0, 4)) if boxes is None else boxes[np.isfinite(boxes).all(-1)]
    beyond = (known * [-1, -1, 1, 1] - [0, 0, W, H]).max(initial=0)
    frame = round(float(min(beyond, max(H, W) / 8) + max(H, W) / 60), 1)  # the last keeps outer lines whole
    return -frame, -frame, W + frame, H + frame


def jpeg(frame: UInt8[np.ndarray, "H W 3"]) -> str:
    """A picture of a film, small, as base64."""
    small = io.BytesIO()
    Image.fromarray(frame).save(small, "JPEG", quality=75)
    return base64.b64encode(small.getvalue()).decode()


def encoded(array: UInt8[np.ndarray, "..."] | None) -> str | None:
    """The bytes in C order, as base64."""
    return None if array is None else base64.b64encode(array.tobytes()).decode()


def numbers(boxes: Float[np.ndarray, "..."] | None) -> list[float | int | None] | None:
    """One flat list, as short in JSON as it can be; null where there is no number."""
    if boxes is None:
        return None
    return [(int(v) if v.is_integer() else v) if np.isfinite(v) else None for v in boxes.ravel().tolist()]
