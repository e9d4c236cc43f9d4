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
# $\rho$ cuts the patches, $f_g$ is a small network. On the centred canvas of 28 x 28 pixels one patch of $g = 8$ samples is
# cut ($S = 1$), on the large ones of 60 x 60 three of $g = 12$, so that the coarsest covers 48 x 48 pixels. On the large
# canvases the embedded digits are read with an LSTM in place of the relu (`core: lstm` in the preset), for it learned
# faster from so few; MNIST is read with the relu.
#
# A drawn location has no gradient. REINFORCE needs none: it raises the probability of the choices that were
# followed by more reward $R_t$ (the probability of the right class after the next glimpse) than a learned baseline $b_t$
# expected,
#
# $$\nabla J \approx \sum_t \nabla \log \mathcal N(l_t; \mu(h_t), \sigma^2 I)\,(R_t - b_t).$$
#
# The paper prints neither $\sigma$ nor learning rate, batch size or number of epochs. Four choices here are not the
# paper's: $\sigma$ starts wide and narrows; the class is asked for after each glimpse, where the paper asks once, at the end;
# REINFORCE also shapes the state that $\mu$ reads; and each decision is rewarded by the glimpse that it leads to, where the paper
# pays only at the end. Exercises 2 and 3 undo the last two: without them the glimpses find the digit less often. (For the centred
# digits of the profile `paper` the last two are the paper's.)

# %% [markdown]
# ## The model
#
# This is the imported file, not a copy.

# %% tags=["nbval-ignore-output", "picture"]
figures.source(ram)

# %% [markdown]
# ## The data
#
# Handwritten digits: the *embedded* ones are 1,797 of 8 x 8 pixels that come with scikit-learn, enlarged. They stand in the
# middle of a small canvas (`centred-28`), anywhere on a larger one (`translated-60`), or there among pieces of other digits
# (`cluttered-60`, only in the profile `full`). The dashed box holds what is brighter than a quarter of the digit's ink. It is
# used to score the attention, never to train it.

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
# One record a model. A record is used again as long as its params, its data and the code that made it are unchanged.
# The same by hand: `companion train hard_attention`.

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
# The same glimpses over all test images: maps of the canvas, one a glimpse, each brightest where most fall. The first
# glimpse, which is random, fills the square; the second gathers near the middle, the later ones spread over the places
# where digits can be.

# %% tags=["nbval-ignore-output", "picture"]
every = test.__getitems__(range(len(test)))
for kind, (model, _) in looking.items():
    display(figures.density(model(every.image).locations.detach(), f"{kind}: where each glimpse falls"))

# %% [markdown]
# ## Numbers
#
# In percent. `error`, of the test images: those that one reading gets wrong; `error_of_10`: those that ten readings,
# averaged, get wrong. `on_digit`, of the chosen glimpses: those whose centre lies in the digit's box.

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
# The floor of this quick run: at least 90 % of the centred digits are right, and on the large canvas the glimpses fall
# on the digit in at least 10 points more of the cases than the middle of the canvas does.

# %%
centred = numbers[numbers.index.get_level_values("protocol") == "centred-28"]
large = numbers.drop(centred.index).reindex(columns=["on_digit", "centre"]).dropna()
right, found = (centred.error <= 10).all(), (large.on_digit >= large.centre + 10).all()
print("at least 90 % of the centred digits right:", bool(right) if len(centred) else "not run")
print("on the digit more often than the middle is:", bool(found) if len(large) else "not run")

# %% [markdown]
# ## What more glimpses bring, and what softness costs
#
# From the committed records of profile `full`, on cluttered canvases with the embedded digits; the column `seed`
# counts the seeds that are there. The soft reader sees all 25 places of a grid at once, and its attention is scored
# by its weights; its core is a relu, that of the others an LSTM. It errs less than hard attention (a claim below): 7.2
# against 11.2 % with six readings each. An image costs it 25 x 432 = 10,800 samples, and `ram-6` 6 x 432 = 2,592; the canvas itself
# has 3,600 pixels. Ten readings of `ram-6`, averaged, err as little as the soft reader (7.0 %), but take 25,920 samples.
#
# Networks that see the whole canvas at once do worse here: the convolutional one errs 17 %, the fully connected one 41 %.

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
title = "Attention on the digit: learned, random, soft"
figures.by_glimpses(full, "on_digit", "attention on the digit, %", title, ["centre", "chance"])

# %% [markdown]
# ## What the paper reports
#
# Test error on MNIST in percent, beside what this code measured on the same task (profile `paper`, one reading).

# %%
built = tables.compared()
tables.printed(built["ram"]).set_index("method")

# %% [markdown]
# The arXiv version is compared because its numbers could be verified. Two later re-implementations err half as often as
# it prints on the cluttered 60 x 60 canvas (2.1 and 2.6 % against 5.23), so equality is not the aim. Here the class is asked for
# after each glimpse, and the centred canvas is read with 512 units, twice the paper's. `docs/ledger.md` lists these
# differences, what the paper leaves open, and the faults of the widely used code.

# %% [markdown]
# ## Claims
#
# Each is tested over whole sets of seeds, and prints its rule. The first interval (95 %) is over seeds: the noise of training.
# The second is over the units of the test set, here images: which happened to be tested. A claim holds if both
# lie above its threshold. *Would matter* is the least effect worth speaking of, in points. Notebook 12 says what a *control* or *by
# construction* is, and how many claims are tested together.

# %%
tables.printed_claims(tables.claims(notebook=name))

# %% [markdown]
# ## Exercises
#
# 1. Set `variant` to `"ram-2"`, `"ram-4"`, `"ram-8"` and `"ram-12"`, one after the other. Where does the error stop falling?
#    For the last one: does the twelfth glimpse still land on the digit?
#    `from companion.metrics.glimpses import on_box`, then
#    `places = (model(every.image).locations.clamp(-1, 1) + 1) / 2 * (test.side - 1)` and
#    `[100 * on_box(places[:, t : t + 1], every.box).mean().item() for t in range(12)]`.
# 2. Below `plan = ...` write `for params in plan.values(): params["loss"] = {"feedback": "last", "reward": "last", "reinforce": 1.0}`,
#    as the paper asks and pays, and run again. What happens to `on_digit`, and is it still above `centre`?
# 3. Write there `for params in plan.values(): params["model"]["state_detached"] = True` instead, as the widely used code does.
#    Which suffers, `error` or `on_digit`?
#
# <details><summary>Answers, from one run each (seed 0, 500 test digits)</summary>
#
# They are compared with a run of their own, not with the one above: on the large canvas it erred 18 %, and 46 % of its glimpses lay
# on the digit.
#
# 1. On the large canvas 35, 18, 18, 9 and 8 % err with 2, 4, 6, 8 and 12 glimpses: it falls up to 8. On the centred one 7.4 % with
#    two glimpses and 3 to 4 % with all others. The first glimpse of twelve, at a random place, lands on the digit in 8 % of the
#    images, the third in 83 %, the twelfth in 91 %.
# 2. On the large canvas `on_digit` falls from 46 to 39 %, which is still above `centre` (30 %), and the error rises from 18 to 21 %.
#    On the centred canvas the middle always lies on the digit, so no policy is above it.
# 3. `on_digit` falls from 46 to 38 %; the error falls from 18 to 13 %, which is not much more than what one run and another
#    differ by (the run above errs 15 %). The recurrent state then learns from the class
#    alone, which may serve the class better and the choice of places worse; one run does not show that this is why.
#
# </details>
