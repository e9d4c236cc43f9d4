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
# *Slides "Soft attention in feature maps" (Sharma, Kiros and Salakhutdinov, "Action recognition using visual attention", ICLR workshop 2016) and "Soft attention vs. hard attention".*
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
# A frozen network has made a map of each of $T$ frames: $D$ features $X_{t,i}$ at each of $K$ places $i$. An LSTM reads one vector a frame, and its state says what that vector is:
#
# $$l_t = \mathrm{softmax}(W h_{t-1}), \qquad x_t = \sum_{i=1}^K l_{t,i} X_{t,i}, \qquad h_t = \mathrm{LSTM}(x_t, h_{t-1}), \qquad y_t = \mathrm{softmax}(V \tanh(U h_t)).$$
#
# | letter | what | here |
# |---|---|---|
# | $T$ | frames of a clip | 8 |
# | $K$ | places of a map | 23 x 40 = 920 |
# | $D$ | features of a place | 40 |
# | $l_{t,i}$ | weight of place $i$ in frame $t$, what is called attention | one number |
# | $x_t$ | what the LSTM reads of frame $t$ | 40 numbers |
# | $h_t$ | its state after frame $t$ | 128 numbers |
# | $y_{t,c}$ | probability of class $c$ after frame $t$ | one number; six classes |
# | $W, U, V, A, B, w, b$ | learned matrices, vectors and numbers (the biases of $W$, $U$ and $V$ are not written) | |
# | $\lambda$ | weight of a penalty | 0 unless said |
#
# The weights of a frame depend on the state alone. It holds the frames read so far, and the mean of all maps of the clip, from which a small network makes the LSTM's first state and memory; frame $t$ itself enters through that mean only. The answer is the mean of all $y_t$. The loss is the cross-entropy after each frame, $c$ being
# the clip's class, plus a penalty on what each place is given over time ("doubly stochastic": the weights sum to 1 over places, and should over time):
#
# $$L = \frac1T \Big[ -\sum_t \log y_{t,c} + \lambda \sum_i \big(1 - \sum_t l_{t,i}\big)^2 \Big].$$
#
# All weights of a clip sum to $T$, so with fewer frames than places the 1 is out of reach; what the penalty does is to spread the weights towards $T/K$ at each place.
#
# `soft` is this equation with one layer of LSTM, written from memory of the paper, which could not be opened; the paper has three (`soft-three-layers`). `soft-features` is that of the authors' code: it also looks at the frame itself, by a small network,
#
# $$e_{t,i} = w \cdot \tanh(A X_{t,i} + B h_{t-1} + b), \qquad l_t = \mathrm{softmax}(e_t).$$
#
# Then the same network reads
#
# - one place alone, `hard` (weights from the state) and `hard-features` (from state and features): drawn from $l_t$ in training, the likeliest when tested. Drawing has no gradient, and REINFORCE (chapter 05) estimates one: $\nabla \log l_{t,i}$ of the drawn place, times the reward minus the reward that was expected. The reward is the probability that the mean of all $y_t$ gives to the right class; a linear layer on the state expects it.
# - a window (`crop`): its middle, width and height are four numbers that a linear layer makes of the state, and the mean of 3 x 3 samples in it is read by bilinear interpolation, so that the answer has a gradient with respect to them (chapter 11).
# - without attention: the mean (`mean`) or the highest value (`max`) over all places; and a softmax regression of all features of a frame (`regression`); that the paper compares with these three is remembered.
#
# Data, maps and epochs are equal (but for the maps of `-deep`, below), and so is the LSTM, of one layer as in the authors' code, but in `soft-three-layers` and `soft-features-three-layers` (the paper has three) and in `regression`, which has none. `-features` has the parameters of its small network besides.
# Number of layers, learning rate, epochs and maps were chosen with `soft-features`, on people of a release of another seed, so that it may be served better than the rest.
#
# ## The model

# %% tags=["nbval-ignore-output", "picture"]
figures.source(feature_map_attention)

# %% [markdown]
# ## The data
#
# The simulator's clips of two groups of actions. *Chest*: reading, writing, playing with a tablet. *Face*: drinking, brushing teeth, making a phone call. Within a group the body moves alike, and only the thing that is taken out of a crate differs; copies of all things of the group stay on a counter, so that their presence tells nothing. The thing moves, its box is known in each frame
# and is never used to train. It is small, less than a hundredth of the picture, so the maps are early and fine ones: 40 channels at 23 x 40 places, after five blocks of EfficientNet-Lite0. What a place sees is not quite the square of the picture that it stands for, but lies about one row higher and half a column to the left, by how the network is padded; this is measured (`companion/ops/receptive_field.py`: a small square of a frame is changed, and one looks where the map changes), and taken into account wherever weights are compared with boxes or drawn over a picture. No person is in both training and test. Folders of labelled videos in the layout of UCF-11 are read through `root` (`docs/data.md`); the videos of UCF-11 itself were not at hand.
#
# ## Training
#
# The quick run's `soft-features` begins with the parameters of a run of the profile `full` and goes on for two epochs; the people that it is tested on were in neither training. `mean` begins from nothing. Where ImageNet's network is not installed both begin from nothing, on maps of a small random network.

# %% tags=["nbval-ignore-output", "trained"] tolerance=1.0
name = "07_feature_map_attention"
plan = experiments.plan("feature_map_attention", source, profile, protocol, variant, fold, seed, strict)
done = experiments.run(plan, root, out)
experiments.losses(done)

# %% [markdown]
# ## Where it looks
#
# The weights of each frame over it. Each place shows the sum of its own weight and those of its eight neighbours, for single places are too small to be seen, and stands where the network looks; framed is the thing that decides, where it is out of the crate. A clip of each group; in the stored run both are read wrongly.

# %% tags=["nbval-ignore-output", "picture"]
for run, one in done.items():
    weighs = getattr(one.model, "where", None) is not None
    if weighs:
        test = one.experiment.test()
        rows = [test.label.tolist().index(k) for k in (0, len(test.classes) // 2)]
        with torch.no_grad():
            said = one.model(test.__getitems__(rows).frames)
        said = said._replace(logits=feature_map_attention.answer(said.logits))
        shown = figures.looked(test, rows, said, aside=one.experiment.aside())
        title = f"Weights of {run.variant}"
        display(AttentionPlayer(**shown, subject="thing that decides", title=title))

# %% [markdown]
# ## Numbers
#
# In percent: `accuracy` over all six actions, so that chance is 16.7 %; `within_chest`, `within_face`: if one chooses among the three actions of the clip's group only, chance is 33.3 %. `on_thing`: the share of the weights inside the box of the thing, over the frames in which it is seen; `still_on_thing`: the same after the weights of each of these frames
# were replaced by their mean over them, so that the difference needs weights that *follow* the thing; of `hard`, the share of frames whose one place lies in the box; `others_on_thing`: the mean weights of the other clips; `uniform`: equal weights. The two rows cannot be compared, for one began with what a longer training has taught, and only 36 clips are tested: the fair comparison is the profile `full` below.

# %% tags=["nbval-ignore-output", "trained"] tolerance=15.0
numbers = experiments.metrics(done, "protocol", "variant").round(1)
columns = ["accuracy", "within_chest", "within_face"]
lies = ["on_thing", "still_on_thing", "others_on_thing", "uniform"]
numbers.filter([*columns, *lies])

# %% [markdown]
# ## Does it follow what moves?
#
# Profile `full`: mean ± sd over n seeds, each with other performances of 40 people; 600 clips are tested. `-deep` reads later and coarser maps, after eleven blocks, with steps of 16 pixels of 160 in place of 4 (112 features at 6 x 10 places): the early maps were chosen for `soft-features`, and other maps may suit the mean better.

# %%
measured = tables.measured()
models = ["soft", "soft-three-layers", "soft-features", "soft-features-three-layers"]
models += ["mean", "max", "regression", "soft-features-deep", "mean-deep"]
shown = tables.contrast(measured, name, models, columns, "cross_subject", source="simulated")
shown.drop(columns=["cost", "minutes"])

# %%
looks = [*models[:4], "hard", "hard-features", "crop"]
shown = tables.contrast(measured, name, looks, lies, "cross_subject", source="simulated")
shown.drop(columns=["cost", "minutes"])

# %% [markdown]
# Against the mean, attention helps: `soft-features` recognises 59.8 % of the clips, 26.7 points more than `mean` (6.4 to 47.0, the 95 % interval over seeds, see Claims), and `soft`, whose weights know the frames before and the mean of the clip only, 46.9 %, 13.8 more (4.3 to 23.3). `soft-features` is above `soft` in four of five seeds, by 12.9 points in the mean, which is not sure (-1.2 to 27.0).
# Against a softmax regression of all features of all places (43.2 %) it is not shown to help: on the three seeds that they share `soft` has 43.9 % and `soft-features` 57.7 %, and trainings differ too much to tell. `mean` and `max` (both 33.1 %) score no more than somebody who always knew the group and guessed within it (33.3 %). `soft` reads the chest's things only (63.2 % within the group) and is at chance within the face's (33.2 %); `soft-features` reads both (59.3 and 62.7 %).
#
# The five trainings of `soft-features` differ much: 69.7, 71.8, 61.3 and 64.7 %, and 31.5 % in one that never found the thing (0.5 % of its weights lie on it; in the others 11.5 to 35.8 %). That one had no worse data: from another beginning (other first parameters and another order of clips) the same clips taught 76.8 %, with 30 % of the weights on the thing (measured aside). So the mean of 17.8 % is
# 27 times what equal weights would have (0.65) and eight times what the weights of other clips have (2.2), and yet the claims on where it looks fail over seeds: with one training in five at zero the interval reaches down to it. In each of the four that learned, these differences are larger than what would matter.
#
# The paper's equation with its three layers (`soft-three-layers`, 3 seeds) is no better than the mean: 33.8 %, with 2.3 % of the weights on the thing. Three layers with weights of features too put 13.8 % on the thing and recognise 35.5 % only. All had the epochs and the rate that were chosen for one layer. Later and coarser maps (`soft-features-deep`) lose the things of the face (36.6 %) and not those of the chest (60.1 %); one of their three trainings never found the thing either, so that in sum (46.9 %) nothing is sure.
#
# Does it follow the thing? With the mean of its weights over the frames in which the thing is seen, 12.4 % lie on it in place of 17.8 %: at least these 5.5 points need weights that move. (Weights that follow perfectly keep a part, too, where the boxes of the frames overlap.) Those of `soft` hardly move (5.3 and 5.2 %); they differ between clips (3.1 % with the weights of others) and hardly within one.

# %% [markdown]
# ## The penalty
#
# $\lambda = 0$, 1 and 10, of weights that come from the state alone, and from the features too.

# %%
penalties = "", "-penalty-1", "-penalty-10"
penalised = [kind + penalty for kind in ("soft", "soft-features") for penalty in penalties]
shown = tables.contrast(measured, name, penalised, [*columns, *lies], "cross_subject", source="simulated")
shown.drop(columns=["cost", "minutes"])

# %% [markdown]
# The penalty spreads the weights, which is what it asks for: at $\lambda = 10$ 1.6 % of those of `soft-features` lie on the thing, and 4.8 % at 1. On the three seeds that they share (the claims compare these alone), `soft-features` recognises 57.7 % without it, 57.9 % at 1 and 49.7 % at 10. At 10 the things of the face are lost in all three (33.6 %, chance), those of the chest are not (66.7 %).
# The two trainings that learned without the penalty lose 20 points each, and the third, which had not, gains 17, so that nothing is sure over seeds. `soft`, on the same three seeds, falls to what `mean` has (43.9, 37.8 and 32.3 %).

# %% [markdown]
# ## Soft against hard
#
# The same data, maps, LSTM and epochs, read in three ways. `cost`: millions of multiply-adds a clip when it is tested, behind the frozen network.
# `gradient_agreement`: of the last layer that decides where to look, before training, gradients are computed on 100 batches of 32 clips; their mean inner product, two by two, divided by their mean squared length, in percent: 100 if all were equal, 0 if they were noise. That layer differs, so compare `soft` with `hard`, and `soft-features` with `hard-features`.

# %%
ways = ["soft", "soft-features", "hard", "hard-features", "crop", "mean"]
costs = [*columns, "on_thing", "gradient_agreement"]
tables.contrast(measured, name, ways, costs, "cross_subject", source="simulated").drop(columns="minutes")

# %% [markdown]
# Soft wins. After as many epochs `hard-features` recognises 34.4 %, against 59.8 % of `soft-features` (25.4 points, 6.7 to 44.2 over seeds), and `hard` 31.3 % against 46.9 %; `mean` has 33.1 %. Two of the five trainings of `hard-features` did find the thing (17.4 and 10.4 % of the frames' places lie on it), and recognised 40.8 and 38.3 %. All have the 15 epochs and the learning rate that were chosen for `soft-features`; hard attention may need more.
# One possible reason lies in the gradients: before training, for the layer that decides where to look, those of different batches have nothing in common in `hard` and `hard-features` (agreement 0.0 and -0.1 %), and a little in `soft` and `soft-features` (3.2 and 4.3 %). Agreement alone does not decide, for the window that moves by its gradient (`crop`) has 2.3 % and is worst. It is at chance within both groups and often misses even the group (24.2 %; 17 to 34 % over seeds), 22.7 points below `soft` (12.1 to 33.4). Why was not measured; a window that misses a small thing has no gradient towards it, which may be part of it.
#
# What is read is a small part of what is computed: hard attention spares the weighted mean of all places, 0.3 of 2.4 million multiply-adds of `soft` and 0.3 of 40.2 million of `soft-features`. In time nothing is spared. Behind the frozen network, 32 clips on one core take (`make bench`, nothing else running; milliseconds):
#
# | | a step of training | testing |
# |---|---|---|
# | `soft` | 23 | 11 |
# | `hard` | 29 | 14 |
# | `crop` | 23 | 16 |
# | `soft-features` | 756 | 222 |
# | `hard-features` | 893 | 233 |
# | `mean` | 7 | 4 |
#
# What hard attention can spare lies elsewhere: where the features of a place are computed only if the place is read (chapters 05 and 11). Here the frozen network has computed all of them.

# %% [markdown]
# ## What the paper reports
#
# The paper's table could not be opened here, and none of its numbers stands in this book. The authors' code has one LSTM layer, weights that come from state *and* features, and no penalty ($\lambda = 0$) in all of its scripts, which is not the equation above; which of the two gave the printed numbers is not known.
#
# ## Claims
#
# Each is tested over whole sets of seeds, and prints its rule. The first interval (95 %) is over seeds: the noise of training, and of which people were drawn. The second is over the units of the test set, here
# performances. A claim holds if both lie above its threshold. *Would matter* is the least effect worth speaking of, in points. Notebook 12 says what each column means, what a *control* or *by construction* is, and how many claims are tested together.

# %%
tables.printed_claims(tables.claims(notebook=name))

# %% [markdown]
# ## In short
#
# An LSTM that weights the places of each frame recognises more than one that reads their mean: by 26.7 points if the weights come from its state and the frame, by 13.8 if they come from its state alone; that it recognises more than a regression of all places is not shown. The weights of the first lie on the small thing that decides 27 times as often as equal weights would, and move with it in part; but one training of five never found the thing, so that this is not sure over seeds.
# The doubly stochastic penalty spreads the weights, and at 10 loses the things of the face. Read hard, one place a frame, learned by REINFORCE, the same network is 25.4 points worse after the same epochs; and as the maps have been computed anyway, it spares hardly any work.
#
# ## Exercises
#
# 1. The weights of `soft` depend on the state alone, those of `soft-features` on the frame too. What does the difference of `on_thing` and `still_on_thing` say of each?
# 2. With $T = 8$ frames and $K = 920$ places, what is the least value of $\sum_i (1 - \sum_t l_{t,i})^2$, and which of the models without attention has it?
# 3. After the quick run print, in a new cell, `[one.model.multiply_adds(8) for run, one in done.items() if run.variant == "soft-features"]`: multiply-adds of a clip of eight frames, by part, on the maps of ImageNet's network. Which part is the largest, and how much of the whole would `hard-features` spare, which reads one place in place of 920?
#
# <details><summary>Answers</summary>
#
# 1. Over the frames in which the thing is seen, weights that are the same in each frame have no difference. `soft` (0.1 points) can only bet on where a thing will be, from the frames before and the mean of the clip; `soft-features` (5.5 points) sees the frame that it weights, and its weights follow the thing in part.
# 2. The sums add up to $T$, and equal ones have the least sum of squares: all are $T/K = 0.0087$, and the value is $(K - T)^2 / K = 904$. Equal weights in each frame have it, and those are what `mean` reads. (Other weights do too, if they take turns.)
# 3. `look`, 38.8 of 40.2 million: features and state of all 920 places go through a small network in each frame. To read one place in place of all spares `read`, 0.3 million, less than 1 %. Weights that come from the state alone, as those of `soft` and `hard`, spare nearly all of `look` (0.9 million are left), but they can only bet on where a thing will be.
#
# </details>
#
# ## Further reading
#
# - S. Sharma, R. Kiros, R. Salakhutdinov, *Action recognition using visual attention*, ICLR workshop 2016.
# - K. Xu and others, *Show, attend and tell: neural image caption generation with visual attention*, ICML 2015: soft and hard attention, and the doubly stochastic penalty.
# - V. Mnih, N. Heess, A. Graves, K. Kavukcuoglu, *Recurrent models of visual attention*, NIPS 2014: chapter 05. M. Jaderberg and others, *Spatial transformer networks*, NIPS 2015: chapter 11.
