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
# # Soft attention in feature maps, and soft against hard
#
# *Slides "Soft attention in feature maps" (Sharma, Kiros and Salakhutdinov, "Action recognition using visual attention", ICLR workshop 2016) and, once more, "Soft attention vs. hard attention".*
#
# **Question.** A recurrent network reads a video frame by frame, and weights the places of each frame by what it knows so far. Do the weights follow what decides? And what would it cost, or spare, to look at one place only?

# %% tags=["parameters"]
source = "simulated"  # "simulated" (made here), or "ucf11"
root = None  # the folder that contains UCF11_updated_mpg; None: a release made here, or $COMPANION_DATA
profile = "quick"  # "quick" or "full": see companion/experiments/feature_map_attention.yaml
protocol = None  # None: all of the profile
variant = None  # None: all of the profile, or one such as "soft", "hard", "mean"
fold = None
seed = 0
out = None  # folder of the records; None: results/quick/runs, or results/runs for "full"
strict = True  # False: damaged videos are left out, and named below

# %%
import pandas as pd
import torch
from IPython.display import display

from companion import experiments, figures, tables
from companion.models import feature_map_attention
from companion.player import AttentionPlayer

pd.set_option("display.max_colwidth", 200)

# %% [markdown]
# ## The idea
#
# A network at rest has made a map of each of $T$ frames: $D$ features $X_{t,i}$ at each of $K$ places $i$. An LSTM reads one vector a frame, and its state says what that vector is:
#
# $$l_t = \mathrm{softmax}(W h_{t-1}), \qquad x_t = \sum_{i=1}^K l_{t,i} X_{t,i}, \qquad h_t = \mathrm{LSTM}(x_t, h_{t-1}), \qquad y_t = \mathrm{softmax}(V \tanh(U h_t)).$$
#
# The weights $l_t$ of a frame are chosen *before* it is seen, from the frames before; $h_0$ is what a small network makes of the mean of all maps. The answer is the mean of all $y_t$. The loss is the cross-entropy after each frame, plus a penalty that asks each place to be looked at as long
# as any other ("doubly stochastic": the weights sum to 1 over places, and should over time):
#
# $$L = \frac1T \Big[ -\sum_t \log y_{t,c} + \lambda \sum_i \big(1 - \sum_t l_{t,i}\big)^2 \Big].$$
#
# `soft` is this model; `soft-features` is that of the authors' code, where weights come from a small network of the state *and the frame's own features*, so that it can look at what it sees now. Then the same network reads
#
# - one place alone (`hard`): drawn from $l_t$ in training, the likeliest when tested. Drawing has no gradient; REINFORCE (chapter 05) has one: $\nabla \log l_{t,i}$ of the place that was drawn, times how much better the answer was than expected.
# - a window (`crop`): its middle and size are four numbers of the state, and it is cut out with a gradient (chapter 11).
# - without attention: the mean (`mean`) or the highest value (`max`) over all places; and a softmax regression of all features of a frame (`regression`), as in the paper's table.
#
# Everything else is equal: data, maps, LSTM, epochs. So the differences are those of looking. The paper's LSTM has three layers, the authors' code has one, and so have all models here but `soft-three-layers` and `soft-features-three-layers`.
#
# ## The model
#
# The imported file, not a copy.

# %% tags=["nbval-ignore-output", "picture"]
figures.source(feature_map_attention)

# %% [markdown]
# ## The data
#
# The simulator's clips of two groups of actions in which the body moves in the same way, and only what is held before the chest, or at the face, tells the class: evidence that moves, of which the box is known in each frame and never used to train. It is small, less than a hundredth of the picture, so the maps are early and fine ones: 40 channels at 23 x 40 places, after five blocks of EfficientNet-Lite0 at rest. Who learns is not who is tested: the people are others. UCF-11's layout is read through `root` (`docs/data.md`); those videos were not at hand.
#
# ## Training
#
# The quick run's `soft-features` begins with the weights of a run of the profile `full` (`results/weights/07_soft_features.safetensors`, the checkpoint of the record `simulated/full/cross_subject/soft-features-fold0-seed0`) and goes on for two epochs; the people that it is tested on were in neither training. `mean` begins from nothing. Without ImageNet's weights both do, on maps of a small random network.

# %% tags=["nbval-ignore-output", "trained"] tolerance=1.0
name = "07_feature_map_attention"
plan = experiments.plan("feature_map_attention", source, profile, protocol, variant, fold, seed, strict)
done = experiments.run(plan, root, out)
experiments.losses(done)

# %% [markdown]
# ## Where it looks
#
# The weights of each frame over it, each place with its eight neighbours; framed: what decides, in the frames in which it is seen. Of `hard` all weight lies on the one place that it reads.

# %% tags=["nbval-ignore-output", "picture"]
for run, one in done.items():
    weighs = getattr(one.model, "where", None) is not None
    if weighs:
        test = one.experiment.test()
        rows = [0, len(test) // 2]
        with torch.no_grad():
            said = one.model(test.__getitems__(rows).frames)
        said = said._replace(logits=feature_map_attention.answer(said.logits))
        shown = figures.looked(test, rows, said)
        title = f"Weights of {run.variant}"
        display(AttentionPlayer(**shown, subject="thing that decides", title=title))

# %% [markdown]
# ## Numbers
#
# In percent: `accuracy` over all actions; `within` a group, when it is known that it is this group, so that chance is 33 %. `on_thing`: the share of the weights inside the box of what decides, over the frames in which it is seen; `still_on_thing`: the same if the clip's mean weights
# lay on each frame, so that the difference is what *following* is worth; `others_on_thing`: the weights of another clip; `uniform`: equal weights.

# %% tags=["nbval-ignore-output", "trained"] tolerance=15.0
numbers = experiments.metrics(done, "protocol", "variant").round(1)
columns = ["accuracy", "within_chest", "within_face"]
lies = ["on_thing", "still_on_thing", "others_on_thing", "uniform"]
numbers.filter([*columns, *lies])

# %% [markdown]
# ## Does it follow what moves?
#
# Profile `full`: mean ± sd over n seeds, each with other performances.

# %%
measured = tables.measured()
models = ["soft", "soft-three-layers", "soft-features", "soft-features-three-layers"]
models += ["mean", "max", "regression"]
tables.contrast(measured, name, models, columns, "cross_subject", source="simulated")

# %%
looks = [*models[:4], "hard", "hard-features", "crop"]
tables.contrast(measured, name, looks, lies, "cross_subject", source="simulated")

# %% [markdown]
# ## The penalty
#
# $\lambda = 0$, 1 and 10, of weights that come from the state alone, and from the features too.

# %%
penalties = "", "-penalty-1", "-penalty-10"
penalised = [kind + penalty for kind in ("soft", "soft-features") for penalty in penalties]
tables.contrast(measured, name, penalised, [*columns, *lies], "cross_subject", source="simulated")

# %% [markdown]
# ## Soft against hard
#
# The same data, maps, LSTM and epochs, read in three ways. `cost`: millions of multiply-adds a clip when it is tested, without the backbone; `minutes`: making the data of its seed where no run before it had, training and testing, on one core.
# `gradient_agreement`: how much the gradients of two batches agree, of the weights that say where to look, before training, in percent; 100 if they were equal, 0 if they are noise. It stands for the variance of the gradient, of which only the ratio to the mean matters.

# %%
ways = ["soft", "soft-features", "hard", "hard-features", "crop", "mean"]
costs = [*columns, "on_thing", "gradient_agreement"]
tables.contrast(measured, name, ways, costs, "cross_subject", source="simulated")

# %% [markdown]
# ## What the paper reports
#
# The paper's table could not be opened here, and none of its numbers stands in this book. What is known comes from the authors' code: one LSTM layer, weights that come from state *and* features, and no penalty ($\lambda = 0$) in all of its scripts. So what the paper draws, weights from the
# state alone, is not what was run.
#
# ## Claims
#
# Each is tested over whole sets of seeds, and prints its rule. The first interval (95 %) is over seeds: the noise of training. The second is over the units of the test set, here
# performances. A claim holds if both lie above its threshold. *Would matter* is the least effect worth speaking of, in points. Notebook 12 says what a *control* or *by construction* is, and how many claims are tested together.

# %%
tables.printed_claims(tables.claims(notebook=name))

# %% [markdown]
# ## Exercises
#
# 1. `soft` chooses its weights before it sees the frame, `soft-features` after. What does the difference of `on_thing` and `still_on_thing` say of each?
# 2. With $\lambda$ very large, what must the weights sum to over time at each place, and which of the other models does just that?
# 3. After the quick run print, in a new cell, `done[run].model.multiply_adds(8)` for the run `soft-features`: multiply-adds of a clip of eight frames, by part. Which part is the largest? How much of the whole does hard attention spare, which reads one place in place of 920? What would it have to give up to spare more?
#
# <details><summary>Answers</summary>
#
# 1. Over the frames in which the thing is seen, weights that are the same in each frame have no difference. `soft` can only bet on where a thing will be, from what was seen before; `soft-features` sees the frame that it weights, and where the difference is large the weights follow the thing.
# 2. Each frame's weights sum to 1, so those of $T$ frames to $T$ over all $K$ places; the penalty is least if each place gets $T/K$ of it. Equal weights in each frame do that, and that is `mean`. (Other weights do too, if they take turns.)
# 3. `look`, 38.7 of 40.2 million: features and state of all 920 places go through a small network in each frame. To read one place in place of all spares `read`, 0.3 million, less than 1 %. Much is spared only if the other places are never computed: if `where` comes from the state alone (`hard` has no projection of features) and the backbone itself runs on a small piece of the frame around the place, as in chapter 05. Then nothing can be looked for, only expected, and $h_0$, which here reads the mean of all maps, needs another source.
#
# </details>
#
# ## Further reading
#
# - S. Sharma, R. Kiros, R. Salakhutdinov, *Action recognition using visual attention*, ICLR workshop 2016.
# - K. Xu and others, *Show, attend and tell: neural image caption generation with visual attention*, ICML 2015: soft and hard attention, and the doubly stochastic penalty.
# - V. Mnih, N. Heess, A. Graves, K. Kavukcuoglu, *Recurrent models of visual attention*, NIPS 2014: chapter 05. M. Jaderberg and others, *Spatial transformer networks*, NIPS 2015: chapter 11.
