# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Hard attention: a sequence of glimpses
#
# *Slide "Soft attention vs. hard attention": Mnih, Heess, Graves and Kavukcuoglu, "Recurrent models of visual
# attention", NIPS 2014 (the slide says 2015); the numbers are those of the arXiv version.*
#
# **Question.** A network sees an image only through small glimpses, and nobody tells it where to look. Can it
# learn to look at the digit, when no gradient passes through the choice? And does that pay, against looking
# anywhere and against reading softly everywhere?

# %% tags=["parameters"]
source = "digits"  # "digits" (embedded) or "mnist"
root = None  # the folder that contains MNIST/raw; None: $COMPANION_DATA
profile = "quick"  # "quick", "full" or "paper": see companion/experiments/hard_attention.yaml
protocol = None  # None: all of the profile, or one such as "cluttered-60"
variant = None  # None: all of the profile, or one such as "ram-6", "random-6", "soft-6", "fc-256", "conv"
seed = 0
out = None  # folder of the records; None: results/quick/runs, or results/runs for "full" and "paper"

# %%
import pandas as pd
import torch
from IPython.display import display

from companion import experiments, figures, tables
from companion.models import ram
from companion.ops.crop import Retina, windows
from companion.player import AttentionPlayer

pd.set_option("display.max_colwidth", 200)

# %% [markdown]
# ## The idea
#
# At each step the network gets $S$ square patches around one location $l_{t-1}$, each twice as wide as the one
# before and all reduced to $g \times g$ samples: sharp in the centre, coarse around it. From what it saw and where,
# it updates a state and draws the next location:
#
# $$g_t = f_g(\rho(x, l_{t-1}), l_{t-1}), \qquad h_t = \mathrm{relu}(C h_{t-1} + D g_t), \qquad
# l_t \sim \mathcal N(\mu(h_t), \sigma^2 I).$$
#
# A drawn location has no gradient. REINFORCE needs none: it raises the probability of the choices that were
# followed by more reward than a learned baseline $b_t$ expected,
#
# $$\nabla J \approx \sum_t \nabla \log \mathcal N(l_t; \mu(h_t), \sigma^2 I)\,(R_t - b_t).$$
#
# The paper prints neither $\sigma$ nor learning rate, batch size or number of epochs. What decides in this run whether
# the search succeeds: $\sigma$ starts wide and narrows; REINFORCE also shapes the state that $\mu$ reads; and each
# decision is rewarded by the glimpse that it leads to. The paper asks and rewards only at the end, which would be
# `feedback: last, reward: last` in the preset.

# %% [markdown]
# ## The model
#
# This is the imported file, not a copy.

# %% tags=["nbval-ignore-output", "picture"]
figures.source(ram)

# %% [markdown]
# ## The data
#
# Handwritten digits, alone or on a larger canvas with pieces of other digits. The dashed box holds the digit's ink.
# It is used to score the attention, never to train it.

# %%
name = "05_hard_attention"
plan = experiments.plan("hard_attention", source, profile, protocol, variant, seed=seed)
last = list(plan)[-1]
shown, test = last.protocol, experiments.prepare(last, plan[last], root).test()
batch = test.__getitems__(range(12))
print(f"{shown}: {len(test)} test images of {test.side} x {test.side} pixels")
print("models:", ", ".join(f"{run.variant} on {run.protocol}" for run in plan))

# %% tags=["nbval-ignore-output", "picture"]
figures.boxed_images(batch.image[:8], batch.box[:8], [f"a {y}" for y in batch.label[:8]])

# %% [markdown]
# ## Training
#
# One record a model. It stands while its params, its data and the code that made it are what they were; what stands is
# not made again. The same by hand: `companion train hard_attention`.

# %% tags=["nbval-ignore-output", "trained"] tolerance=0.6
done = experiments.run(plan, root, out)
experiments.losses(done)

# %% [markdown]
# ## Where it looks
#
# The first glimpse falls anywhere. The model chose the others. In the player, orange is the window of the current
# glimpse with its coarser scales, dashed blue the true box.

# %%
torch.manual_seed(seed)
looking = {
    run.variant: (one.model, one.model(batch.image))
    for run, one in done.items()
    if run.protocol == shown and one.model is not None and run.variant.startswith(("ram", "random"))
}
print("models to look at:", ", ".join(looking) or "none, for only their records are left")

# %% tags=["nbval-ignore-output", "picture"]
for kind, (model, read) in looking.items():
    if kind.startswith("ram"):
        sensor = (model.side, model.scales)
        boxes = windows(read.locations, test.side, test.side, *sensor)
        patches = Retina(batch.image, *sensor)(read.locations)
        labels = [f"is {y}, read as {k}" for y, k in zip(batch.label, read.logits.argmax(1), strict=True)]
        options = {"labels": labels, "patches": patches, "subject": "digit", "title": kind}
        display(AttentionPlayer(batch.image, boxes, batch.box, **options))

# %% [markdown]
# The same glimpses over all test images: the map of the $t$-th location. The first, which is random, fills the
# square; the chosen ones gather where digits can be.

# %% tags=["nbval-ignore-output", "picture"]
every = test.__getitems__(range(len(test)))
for kind, (model, _) in looking.items():
    display(figures.density(model(every.image).locations.detach(), f"{kind}: where the n-th glimpse falls"))

# %% [markdown]
# ## Numbers
#
# In percent of the test images: `error` of one reading, `error_of_10` of ten readings averaged, `on_digit`: how
# many of the chosen glimpses have their centre in the digit's box.

# %% tags=["nbval-ignore-output", "trained"] tolerance=10.0
numbers = experiments.metrics(done, "protocol", "variant").round(1)
numbers.filter(like="error")

# %% tags=["nbval-ignore-output", "trained"] tolerance=15.0
numbers.filter(["on_digit"])

# %% [markdown]
# Two controls that see nothing: `chance`, a location drawn anywhere, and `centre`, always the middle of the canvas.
# On the centred canvas the middle is always on the digit, so only the large canvases show whether a policy searches.

# %%
numbers.filter(["chance", "centre", "n_test"])

# %% [markdown]
# The floor of this quick run: at least 90 % of the centred digits are right, and on every canvas the glimpses fall
# on the digit at least twice as often as by chance.

# %%
centred = numbers[numbers.index.get_level_values("protocol") == "centred-28"]
attended = numbers.reindex(columns=["on_digit", "chance"]).dropna()
print("at least 90 % of the centred digits right:", bool((centred.error <= 10).all()))
print("on the digit twice as often as by chance:", bool((attended.on_digit >= 2 * attended.chance).all()))

# %% [markdown]
# ## What more glimpses bring, and what softness costs
#
# From the committed records of profile `full`, on cluttered canvases with the embedded digits; the column `seed`
# counts the seeds that are there. The soft reader sees all 25 places of a grid at once, and its attention is scored
# by its weights. It errs less than hard attention (a claim below): what hard attention saves is the seeing.

# %%
full = tables.frame(name, "full")
columns = ["error", "error_of_10", "on_digit", "chance", "centre"]
full = full.reindex(columns=["variant", "seed", *columns])
full.groupby("variant").agg(dict.fromkeys(columns, "mean") | {"seed": "nunique"}).round(1).astype(
    object
).fillna("")

# %% tags=["nbval-ignore-output", "picture"]
title = "Cluttered digits: error against the number of glimpses"
figures.by_glimpses(full, "error", "test error, %", title)

# %% tags=["nbval-ignore-output", "picture"]
figures.by_glimpses(
    full, "on_digit", "attention on the digit, %", "Attention on the digit: learned, random, soft"
)

# %% [markdown]
# ## What the paper reports
#
# Test error on MNIST in percent, beside what this code measured on the same task (profile `paper`, one reading).

# %%
built = tables.build()
tables.printed(built["ram"]).set_index("method")

# %% [markdown]
# The arXiv version is compared because its numbers could be verified. All later reproductions are below its cluttered
# numbers, so equality is not the aim. Here the class is asked for after each glimpse, and the centred canvas is read
# with 512 units, twice the paper's. `docs/ledger.md` lists these differences, what the paper leaves open, and the
# faults of the widely used code.

# %% [markdown]
# ## Claims
#
# Each is tested over whole sets of seeds, and prints its rule. The first interval (95 %) is over seeds: the noise of training.
# The second is over the units of the test set, here images: which happened to be tested. A claim holds if both
# lie above its threshold; records that were made before scores per unit were kept have the first only, and the verdict says
# so. What a *control* or *by construction* is, and how many claims are tested together, says notebook 12.

# %%
claims = built["claims"]
tables.printed_claims(claims[claims.notebook == name])

# %% [markdown]
# ## Exercises
#
# 1. Set `variant = "ram-1"` and `"ram-12"`. Where does the error stop falling, and does the twelfth glimpse still
#    land on the digit?
# 2. In `companion/experiments/hard_attention.yaml` set `feedback: last, reward: last`, as the paper does, and run again. What happens to `on_digit`?
# 3. Build the model with `state_detached=True`, as the widely used code does. Which of the two numbers suffers first?
