# ---
# jupyter:
#   jupytext:
#     formats: ipynb,percent//py:percent
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
profile = "quick"  # "quick", "full" or "paper": the numbers of workflow/config.yaml
protocol = None  # None: all of the profile, or one such as "cluttered-60"
variant = None  # None: all of the profile, or one such as "ram-6", "random-6", "soft-6", "fc-256", "conv"
seed = 0
out = None  # folder of the records; None: results/quick/runs, or results/runs for "full" and "paper"

# %%
from functools import partial

import pandas as pd
from companion import figures, metrics, records, tables, training
from companion.datasets.digits import Digits
from companion.models import ram
from companion.ops.crop import Retina
from companion.player import AttentionPlayer
from IPython.display import Code

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
# The paper prints neither $\sigma$ nor learning rate, batch size or number of epochs. Three things decide here
# whether the search succeeds: REINFORCE also shapes the state that $\mu$ reads; $\sigma$ starts wide and narrows;
# and each decision is rewarded by the glimpse that it leads to. The paper rewards only at the end, which is
# `feedback: last` in the preset.

# %% [markdown]
# ## The model
#
# This is the imported file, not a copy.

# %% tags=["nbval-ignore-output", "picture"]
Code(ram.__file__)

# %% [markdown]
# ## The data
#
# Handwritten digits, alone or on a larger canvas with pieces of other digits. The dashed box holds the digit's ink.
# It is used to score the attention, never to train it.

# %%
name = "05_hard_attention"
plan = records.plan(name, source, profile, protocol, variant)
shown = next(iter(plan))[0]
test = Digits(source, "test", shown, root=root)
batch = test.__getitems__(range(12))
print(f"{shown}: {len(test)} test images of {test.side} x {test.side} pixels; models: {', '.join(v for _, v in plan)}")

# %% tags=["nbval-ignore-output", "picture"]
figures.boxed_images(batch.image[:8], batch.box[:8], [f"a {y}" for y in batch.label[:8]])

# %% [markdown]
# ## Training
#
# One record a model. A record that stands with equal numbers is not made again.

# %% tags=["nbval-ignore-output", "trained"] tolerance=0.6
done = {}
for (canvas, kind), params in plan.items():
    run = records.Run(name, source, profile, canvas, kind, seed=seed)
    train, held_out = Digits(source, "train", canvas, seed, root), Digits(source, "test", canvas, root=root)
    build = partial(ram.build, kind, train.side, **params["model"])
    objective = partial(ram.objective, **params.get("loss", {}))
    score = metrics.glimpse_scores
    done[canvas, kind] = training.measure(run, params, build, train, held_out, objective, score, out=out)
pd.DataFrame(
    {f"{kind}, {canvas}": [losses[0], losses[-1]] for (canvas, kind), (_, _, losses) in done.items() if losses},
    index=["first loss", "last loss"],
).T.round(2)
