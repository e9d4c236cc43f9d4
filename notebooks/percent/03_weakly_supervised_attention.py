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
# # Attention from recognition alone
#
# *Slides "Attention in vision": Durand, Mordan, Thome and Cord, "WILDCAT: weakly supervised learning of deep ConvNets for image classification,
# pointwise localization and segmentation", CVPR 2017; and "Attention based mechanisms": can we jointly predict gaze and the scrutinised
# object? Loss: recognition performance.*
#
# **Question.** A network is told what a picture shows, and never where. Does it look at the right place? And is that where people look?

# %% tags=["parameters"]
source = "still_lifes"  # drawn here; "fruit", "coco128", "voc2007", "voc2012", "osie" or "osie+coco128"
root = None  # the folder that contains fruit/, coco128/, osie/ ...; None: $COMPANION_DATA
profile = "quick"  # "quick" or "full": see companion/experiments/weakly_supervised_attention.yaml
protocol = None  # None: all of the profile
variant = None  # None: all of the profile, or one such as "wildcat", "average", "cam"
fold = None  # None: all folds
seed = 0
out = None  # folder of the records; None: results/quick/runs, or results/runs for "full"

# %%
import pandas as pd
import torch
from IPython.display import display

from companion import experiments, figures, tables
from companion.models import class_activation, joint_attention, wildcat

pd.set_option("display.max_colwidth", 200)

# %% [markdown]
# ## The idea
#
# A network makes a map of a picture: features $f(p)$ at each place $p$. One linear map gives each place *evidence* for each class $c$,
# and a *pooling* makes one score of all places; the score is all that the labels train.
#
# $$z^c(p) = w_c^\top f(p) + b_c, \qquad s^c = \mathrm{pool}_p\, z^c(p), \qquad
# L = -\sum_c \big[y_c \log \sigma(s^c) + (1 - y_c) \log(1 - \sigma(s^c))\big].$$
#
# $z^c$ is a map over the picture, the *heat map* of the class: nobody taught it, and if it is high on the thing and low elsewhere, the
# network points at what it names. What is pooled decides what is learned:
#
# | pooling | $s^c$ | known as |
# |---|---|---|
# | `average` | mean over all places | class activation map (Zhou et al., CVPR 2016) |
# | `max` | the highest place | multiple-instance learning (Oquab et al., CVPR 2015) |
# | `log-sum-exp` | $\frac1r \log \frac1K \sum_p e^{r z^c(p)}$, between the two | Pinheiro and Collobert, CVPR 2015 |
# | `wildcat` | mean of the $k^+$ highest places, plus $\alpha$ times the mean of the $k^-$ lowest | Durand et al. |
#
# The lowest places count in `wildcat` because a place that speaks *against* a class is evidence too. WILDCAT also has $M$ maps for each
# class and takes their mean ("multi-map transfer"). That is one linear map again, so $M$ alters how it trains and not what it can say. Here $M = 4$, $k^+ = k^-$ is a fifth of the places, and $\alpha = 0.7$ (0.3 on photographs).
# $K$ is the number of places, $\sigma$ the logistic function, $y_c$ is 1 if the picture shows the class, $r = 5$.
#
# The **pointing game** scores a heat map: does its highest place lie in a box of its class? Boxes are used for that and never to train.

# %% [markdown]
# ## The model

# %% tags=["nbval-ignore-output", "picture"]
figures.source(wildcat)

# %% [markdown]
# ## The data
#
# *Still lifes* are drawn here: one to three of six shapes, in any colour, size and place, among strokes that mean nothing. A dashed box is around each thing. Real pictures come
# through `root`: `fruit` (apples, bananas and oranges), `coco128` (256 pictures of COCO, of which classes count that are in at least ten
# pictures), `osie` (photographs and where people look at them, as in chapter 02), `osie+coco128` (both, in the profile `full` only), and `voc2007` and `voc2012`, which were not at hand. `docs/data.md` says where they are to be had and how they lie.

# %%
name = "03_weakly_supervised_attention"
plan = experiments.plan("weakly_supervised_attention", source, profile, protocol, variant, fold, seed)
run = next(iter(plan))
test = experiments.prepare(run, plan[run], root).test()
test = test[1] if isinstance(test, tuple) else test
print(len(test), "test pictures")

# %% tags=["nbval-ignore-output", "picture"]
kinds = [", ".join(dict.fromkeys(test.classes[k] for k in kinds)) for kinds in test.kinds[:8]]
shown = [test.pictures.shown[n] for n in test.chosen[:8]]
size = torch.tensor(shown[0].shape[1:]).flip(0).repeat(2)
around = [boxes.float() * size for boxes in test.boxes[:8]]
figures.objects(shown, [text[:30] for text in kinds], true=around)

# %% [markdown]
# ## Training
#
# The quick run on still lifes begins with the weights of a run of the profile `full`, for a minute is too short to learn them, and trains two epochs more. Its test
# pictures were in neither training; they are the first 600 of the 3,000 on which the run of the table below was tested. On photographs the features are those of ImageNet's network and are not trained; only $w_c$ and $b_c$ are.

# %% tags=["nbval-ignore-output", "trained"] tolerance=0.5
done = experiments.run(plan, root, out)
experiments.losses(done)

# %% [markdown]
# ## Where it points
#
# Each heat map is of one class that the picture shows; its name stands above. The dashed boxes are around all things, and the cross is the map's highest place. Each map has its own scale, so that a map that is nearly flat glows everywhere. The dark bands above and on the right, the same in all six pictures, are no evidence about the picture: there the network sees the zeros that are padded around it (why it learned to make these two borders low was not looked into).

# %% tags=["nbval-ignore-output", "picture"]
rows = [n for n, kinds in enumerate(test.kinds) if len(kinds)][:6]
first, maps = [int(test.kinds[n][0]) for n in rows], {}
for its, one in done.items():
    if its.fold == run.fold and one.model is not None and hasattr(one.model, "transfer"):
        with torch.no_grad():
            read = one.model(one.experiment.test().__getitems__(rows).maps)
        maps[its.variant] = read.heatmaps[range(len(rows)), first]
if maps:
    pictures = [test.pictures.shown[test.chosen[n]] for n in rows]
    boxes = [test.boxes[n].float() * size for n in rows]
    display(figures.heatmaps(pictures, maps, boxes, [test.classes[k] for k in first]))

# %% [markdown]
# ## Numbers
#
# In percent. `map`: mean average precision (mAP), the mean over classes of the average precision of their scores (a score, not a map). `pointing`: of the classes in a picture, those whose heat
# map has its highest place in a box of theirs, mean over pictures. `on_things`: of the class with the highest score, right or wrong, the highest place of the heat map lies in a box of anything, also of classes that do not count; `on_others`, a control: of all other pictures, in how many it would lie in a
# box. `centre` looks at the middle of the picture, whatever it shows, so that its `on_others` equals its `on_things` by construction.

# %% tags=["nbval-ignore-output", "trained"] tolerance=15.0
numbers = experiments.metrics(done, "protocol", "variant").round(1)
numbers.filter(["map", "pointing", "on_things", "on_others"])

# %% [markdown]
# What this quick run must reach: `wildcat` points at the thing at least twice as often as the middle of the picture does.

# %%
by = numbers.groupby("variant").mean().get("pointing", pd.Series(dtype=float))
both = {"wildcat", "centre"} <= set(by.index)
print("at least twice the middle:", bool(by["wildcat"] >= 2 * by["centre"]) if both else "not run")

# %% [markdown]
# ## What the pooling decides
#
# Profile `full`: mean ± sd over n seeds; `-longer` trains twice as long, on still lifes; `minutes`: of one run on one core, reading, training and testing together.

# %%
measured = tables.measured()
columns = ["map", "pointing", "on_things", "on_others"]
poolings = ["wildcat", "average", "max", "log-sum-exp", "centre"]
poolings += ["wildcat-longer", "average-longer", "alpha-0.7"]
sides = {"still_lifes": "default", "coco128": "five_folds", "fruit": "default"}
shown = [tables.contrast(measured, name, poolings, columns, side, source=of) for of, side in sides.items()]
pd.concat(shown, keys=sides)

# %% [markdown]
# On still lifes WILDCAT's pooling is ahead after 20 epochs (`map` 92.0, average 84.4, max 43.4), and points at the thing in 76 of 100 cases, where the middle of the picture would be right in 6. But trainings differ much: average pooling was better than WILDCAT's in one of five, and log-sum-exp's best training reached 97.3 and its worst 37.9 (mean 80.4), so that only the
# difference to max is sure over seeds. Of WILDCAT's and average pooling this is owed to the short schedule: trained twice as long (`-longer`), five trainings of WILDCAT's lie between 97.6 and 98.7, those of average pooling between 93.2 and 97.4, and the difference is sure (98.1 against 95.2, 2.9 points, 0.8 to 5.0 over seeds). Longer training names better; `pointing` gains 2 points with WILDCAT's (78) and 6 with average pooling (71), `on_things` none. (Log-sum-exp was not trained longer.) The learning rates were chosen with one training each, which is little where trainings differ so much. (The quick run above goes on from seed 0, which reached 97.3, the best of the five.)
#
# On the photographs of coco128, where only $w_c$ and $b_c$ are learned, trainings agree. WILDCAT's pooling with $\alpha = 0.3$ names more than average pooling (52.6 against 48.3). That $\alpha$, like $k$, $M$, the layer and each pooling's learning rate, was chosen on pictures that other folds test, so that these scores may be a little too good, WILDCAT's most, for which most was chosen; with $\alpha = 0.7$, as in the authors' program, it is 43.2 (`alpha-0.7`), 5.1 *below* average pooling.
# Log-sum-exp names 2.1 more than WILDCAT's (54.7): sure over trainings (1.5 to 2.8), and over other test pictures barely (0.03 to 4.6). WILDCAT's lead over max (50.6) is not sure over other test pictures. In pointing log-sum-exp and max are equal and ahead (52.6 and 52.5, WILDCAT's 47.4, average 38.5, the middle 36.2). WILDCAT's highest place is on a thing as often as the middle of the picture (71.6 and 71.7),
# but in other pictures it would be in 55.8 only. Fruit decides nothing: all name nearly all of the 60 test pictures, and the middle alone points right in 89 of 100.

# %% [markdown]
# WILDCAT's own choices, on still lifes. `M-1` and `M-8` have one and eight maps; `alpha-0` leaves the lowest places out, `alpha-1` counts them as much as the highest;
# `k-…` is another $k$: `k-1` a single place, `k-0.05` and `k-0.5` a twentieth and half of them.

# %%
choices = ["wildcat", "M-1", "M-8", "alpha-0", "alpha-1", "k-1", "k-0.05", "k-0.5"]
tables.contrast(measured, name, choices, columns, "default", source="still_lifes")

# %% [markdown]
# WILDCAT's pooling needs its lowest places. Without them (`alpha-0`) `map` is 35.6 in place of 92.0, and `pointing` 15 in place of 76. Three trainings agree in these two; in `on_things` they do not, for the highest place of the likeliest class lies on a thing in 0, 59 and 0 of 100 pictures. Max pooling, which leaves them out too, is nearly as bad (43.4), and average pooling, in which all places learn, is not (84.4). But this is no law of pooling: log-sum-exp, in which low places hardly count, has 80.4 in the mean and 97.3 at best. (All choices have the learning rate that was chosen for `wildcat`; another may suit `alpha-0` better.)
# A single place (`k-1`) learns less and by luck: `map` is between 54 and 80, `pointing` between 2 and 55. From a twentieth of the places to half of them, and with $\alpha$ of 0.7 or 1, the differences are smaller than those between trainings (`map` from 90.0 to 92.4). One map a class is as good as four (92.4), and eight are not better (84.6, sd 9.5).

# %% [markdown]
# ## A network at rest: does it attend to things, and to what people look at?
#
# EfficientNet-Lite0 was trained to recognise (ImageNet), and nobody told it where. Here it is *at rest*: it is not trained any further. Its last map has features $f(p)$ and evidence $z^c(p)$ for 1,000 classes. Three maps are read from it, none of which is trained here:
# `cam`, $z$ of the class to which the network gives the highest score; `every-class`, $\log \sum_c e^{z^c(p)}$, evidence for anything; `energy`, the mean of $f^2$ over channels. (`every-class` is log-sum-exp over *classes*; the pooling above is log-sum-exp over places.)

# %% tags=["nbval-ignore-output", "picture"]
figures.source(class_activation)

# %% [markdown]
# On boxes: the highest place of the map lies on a thing (`on_things`), and would lie on things of other pictures (`on_others`). `untrained-…` is the same network with random weights; its BatchNorms have the statistics of eight training pictures, as they would have when training begins, or its maps would fade to nothing from block to block. (On still lifes the network at rest has 300 pictures of 288 x 384, and `centre` the 3,000 small ones of the table above.)

# %%
resting = [f"{state}{kind}" for state in ("", "untrained-") for kind in ("cam", "every-class", "energy")]
resting.append("centre")
shown = [tables.contrast(measured, name, resting, columns[2:], side, source=of) for of, side in sides.items()]
pd.concat(shown, keys=sides)

# %% [markdown]
# On coco128 `energy` has its highest place on a thing in 79 of 100 pictures, and in 56 of 100 others it would lie on one by chance: 23 points are owed to what the picture shows. They are 22 for `every-class`, 19 for `cam`, and 1 to 3 for the untrained network. The middle of the picture is on a thing in 72 of 100, because photographers put things there, and it
# would be in as many others: for this nothing has to be seen, which is why `on_others` is taken off. On fruit (60 pictures) they are 19 for `cam`, 13 for `every-class`, 6 for `energy`, and -4 to 5 for the untrained network, with sd of up to 9 over seeds.
# On the drawings the untrained network is ahead of the trained one: `energy` is 6 points above `on_others`, `every-class` 9, `cam` 3 (less than the 5 that would matter), and untrained they are 15, 17 and 7. ImageNet's classes are not drawn there; why the untrained network is better at it was not measured.

# %% [markdown]
# On gaze, OSIE's test folds. The scores are those of chapter 02. The shuffled AUC decides here: an untrained network's energy is low along the border, where zeros are padded, so that it is a centre bias, which the AUC rewards and the shuffled AUC does not. `centre` is a Gaussian in the middle.

# %%
gaze_scores = ["auc", "sauc", "nss"]
tables.contrast(measured, name, resting, gaze_scores, "five_folds", source="osie", digits=3)

# %% [markdown]
# Recognition alone teaches a part of where people look: in shuffled AUC `energy` has 0.741 and `every-class` 0.730, 0.118 and 0.114 more than the same maps of the untrained network (0.623, 0.616), though nobody ever taught the network gaze. Both are above the middle in all three scores. `cam` is above the middle in the shuffled AUC only (0.588),
# and below it in AUC (0.630 against 0.735) and NSS (0.651 against 0.841): the evidence of one class of 1,000 points at one thing, or, where the picture shows none of the 1,000, at nothing in particular.
#
# The untrained network is above chance too. Most of what its energy tells of gaze is contrast, and contrast draws the eye: spectral residual, which learns nothing at all, has 0.715 in chapter 02, only 0.026 less than `energy`. To see this, take from each energy map what a straight line predicts of it from the contrast of each place (the sd of its brightness). On the first test fold contrast
# alone has 0.701. Of the untrained network's 0.633 there the rest keeps 0.548, of the trained one's 0.737 it keeps 0.666: training adds what contrast does not tell. Exercise 4 has the code.

# %% [markdown]
# ## Both at once
#
# "Can we jointly predict gaze and the scrutinised object? Loss: recognition performance." A trunk of 1 x 1 convolutions on the maps at rest gives hidden maps, which two linear layers read. One gives a value of each place; the softmax over places of these is an attention $a$. The other gives evidence $z^c$ for coco128's classes, learned here, and what a picture shows is
# read where the attention lies, $s^c = \sum_p a(p)\, z^c(p)$. For gaze the centre bias is added to the values, and the density is trained by likelihood as in chapter 02. Batches hold pictures of OSIE, of which the gaze is known, and of coco128, of which the labels are.
# `gaze` and `labels` learn from one loss alone, `both` from their sum, all for equally many steps on the same batches. `labels-everywhere` is `labels` with equal weights at all places in place of $a$.

# %% tags=["nbval-ignore-output", "picture"]
figures.source(joint_attention)

# %% [markdown]
# `auc` to `gain` are of the density with the centre bias, on OSIE's test pictures; `attention_…` are of $a$ alone, which in `labels` has never seen gaze. `map`, `on_things` and `on_others` are on coco128's test pictures, the latter two of the highest place of $a$.

# %%
jointly = ["auc", "sauc", "nss", "gain"]
jointly += ["attention_auc", "attention_sauc", "attention_nss", "map", "on_things", "on_others"]
losses = ["gaze", "labels", "both", "labels-everywhere"]
tables.contrast(measured, name, losses, jointly, "five_folds", source="osie+coco128", digits=3)

# %% [markdown]
# Labels do not help gaze. Whether gaze helps recognition, three trainings do not tell for sure. Gaze is predicted as well with labels as without (1.97 and 1.98 bits; 0.02 would matter). With gaze, coco128 is named 6.5 points better than from labels alone (`map` 43.4 against 37.0). Over other test pictures that is sure (2.0 to 11.0), over other trainings it is not: they differ much
# when labels alone train the attention (sd 2.6), and with three of them the interval is -2.2 to 15.1. (The `map` of `gaze` is that of evidence that nobody has trained.)
#
# But does gaze tell what is there, or does it only mend a bad attention? With equal weights at all places in place of $a$, and all else as in `labels`, `map` is 48.8: 5.3 more than `both` (3.6 to 7.1 over seeds), and 11.8 more than `labels` (4.5 to 19.1). So an attention learned from labels of about 200 photographs hurts. Gaze takes away about half of the loss, which is not sure over trainings, as said. (Equal weights have no highest place: `on_things` of `labels-everywhere` is that of one and the same place in every picture, and equals `on_others`.)
# (The learning rate, dropout and weight decay are those that were chosen for gaze in chapter 02; others may suit labels better.)
#
# Attention that labels alone have taught tells where people look (shuffled AUC 0.719, chance 0.5), about as much as `energy` of the network at rest (0.741; the two are not made ready alike, for attention is a density, and is divided by the centre bias for this score) and as spectral residual, which learns nothing (0.715). In NSS it is below the middle of the picture (0.619 against 0.841). Its `gain`, with the centre bias added, is -9.8 bits: as a density it is wrong, for nothing asked it to be one. Attention that gaze alone has taught, which was never told what a picture shows, lies on a thing in 78 of 100 pictures of coco128, where 50 would be by chance;
# what labels alone have taught, in 79, where 52 would be.

# %% [markdown]
# ## Claims
#
# Each is tested over whole sets of seeds, and prints its rule. The first interval (95 %, `seeds`) says how the effect varies when training is repeated with other seeds; of models in which nothing is drawn both its ends are the effect. The second (`test set`) says how it would vary with other test pictures.
# A claim holds if both lie above its threshold. *Would matter* is the least effect worth speaking of, in the units of the score. Notebook 12 says what each column means, what a *control* or *by construction* is, and how many claims are tested together.

# %%
tables.printed_claims(tables.claims(notebook=name))

# %% [markdown]
# ## In short
#
# A network that is told what a picture shows, and never where, points at a named thing more often than the middle of the picture would: with WILDCAT's pooling on still lifes far more often (in 76 of 100 cases, the middle in 6), on photographs of coco128 somewhat more often (in 47, the middle in 36). For the class that it names itself its highest place is on a thing of coco128 no more often than the middle (72 and 72). Which pooling is best depends on the data; with the authors' $\alpha$ WILDCAT's is below average pooling on coco128.
# It is in part where people look, too: activation energy of a network that has only learned to recognise has a shuffled AUC of 0.741, and 0.623 if it has learned nothing; but spectral residual, which learns nothing either, has 0.715. Learned together with gaze, attention names 6.5 points more of coco128 than if labels alone teach it (not sure over trainings), but 5.3 less than equal weights do; and labels do not help to predict gaze.
#
# ## Exercises
#
# 1. After the quick run take, in a new cell, `one = next(done[run] for run in done if run.variant == "wildcat")`, set `one.model.pooling = "average"`, and print `one.experiment.evaluate(one.model, seed).metrics`. Which of `map` and `pointing` changes, and why does the other not?
# 2. What does the table of WILDCAT's choices say of the lowest places (`alpha-0`), and of one place in place of a fifth of them (`k-1`)? Say for each what it costs or gains in naming and in pointing.
# 3. `on_others` is far above 0 on photographs. Why, and what would be wrong if one reported `on_things` alone?
#
# 4. How much of what a network's energy tells of gaze is contrast? On OSIE's pictures, take from each map what a straight line predicts from the contrast of each place, and compare what is left of `energy` and of `untrained-energy`.
#
# <details><summary>Answers</summary>
#
# 1. `map` falls from 96.2 to 94.3, and `pointing` stays at 88.5. A heat map is there before it is pooled, so that its highest place cannot depend on the pooling; the score
#    does. (`on_things` falls a little, from 91.7 to 90.7: it looks at the map of the class that has the highest score.)
# 2. Without the lowest places naming loses 56 points and pointing 61. One place in place of a fifth loses 25 points of naming and 46 of pointing, and trainings differ by more than 20 points.
# 3. Photographers put things in the middle, so that one place lies on things in many pictures. Only the difference of `on_things` and `on_others` is owed to what this picture shows; who reports `on_things` alone reports mostly the photographer.
#
# 4. This prints the shuffled AUC of the energy, of contrast, and of what is left of the energy, on the first fold: 0.633, 0.701 and 0.548 for `untrained-energy`, 0.737, 0.701 and 0.666 for `energy`.
#
# ```python
# from torch.nn import functional as F
#
# from companion.experiments.gaze import enlarged
# from companion.metrics import saliency
#
# variant = "untrained-energy"  # or "energy"
# plan = experiments.plan("weakly_supervised_attention", "osie", "full", None, variant, 0, 0)
# run, params = next(iter(plan.items()))
# one = experiments.prepare(run, params, root)
# test, model = one.test(), one.build()
#
#
# def scores(n):
#     energy = model(test.__getitems__([n]).maps).map[0]
#     grey = test.pictures.shown[test.chosen[[n]]].float().mean(1, keepdim=True)
#     mean, square = (F.adaptive_avg_pool2d(of, energy.shape) for of in (grey, grey**2))
#     contrast = (square - mean**2).clamp_min(0).sqrt()[0, 0]
#     known = torch.stack([torch.ones_like(contrast), contrast], -1).flatten(0, 1)
#     told = known @ torch.linalg.lstsq(known, energy.reshape(-1, 1)).solution
#     maps = energy, contrast, energy - told.view_as(energy)
#     where = test.pixels(n), test.elsewhere(n)
#     return [saliency.shuffled_auc(enlarged(of, (600, 800), False), *where) for of in maps]
#
#
# torch.tensor([scores(n) for n in range(len(test))]).mean(0)
# ```
#
# </details>
#
# ## Further reading
#
# - T. Durand, T. Mordan, N. Thome, M. Cord, *WILDCAT: weakly supervised learning of deep ConvNets for image classification, pointwise localization and segmentation*, CVPR 2017.
# - B. Zhou, A. Khosla, A. Lapedriza, A. Oliva, A. Torralba, *Learning deep features for discriminative localization*, CVPR 2016: class activation maps.
# - M. Oquab, L. Bottou, I. Laptev, J. Sivic, *Is object localization for free? Weakly-supervised learning with convolutional neural networks*, CVPR 2015.
# - P. O. Pinheiro, R. Collobert, *From image-level to pixel-level labeling with convolutional networks*, CVPR 2015.
