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
# # Articulated pose alone is not sufficient
#
# *Slide "Articulated pose alone is not sufficient": reading and writing, seen as a skeleton and as a picture.*
#
# **Question.** How far does the pose go, and what does one look at the hands add?

# %% tags=["parameters"]
source = "simulated"  # "simulated" (made here) or "ntu"
root = None  # the folder that contains ntu/; None: a release made here, or $COMPANION_DATA for "ntu"
profile = "quick"  # "quick" or "full": see companion/experiments/pose_is_not_enough.yaml
protocol = None  # None: all of the profile, or "cross_subject" or "cross_view"
variant = None  # None: all of the profile, or "pose-tour", "crops", ...
seed = 0
out = None  # folder of the records; None: results/quick/runs, or results/runs for "full"
strict = True  # False: damaged clips are left out, and named below

# %%
import pandas as pd
import torch
from IPython.display import display

from companion import experiments, figures, tables
from companion.experiments.pose_is_not_enough import clips, groups

pd.set_option("display.max_colwidth", 200)

# %% [markdown]
# ## The data
#
# Simulated people act before cameras; videos and skeletons are written as NTU RGB+D's. In four groups the motion was drawn
# before it was known which action it is, so **by construction** the pose cannot tell the group's three actions apart:
#
# - `chest`: something is taken out of a crate and held before the chest. A book, a pad, or a tablet?
# - `face`: the same, at the head. A cup, a toothbrush, or a phone?
# - `context`: the arm points at one of three things on stands. The thing decides, and it is beyond the hand.
# - `two`: one person holds a thing, another points at one. Both together decide: each held thing is equally often in all
#   three classes, and so is each thing that is pointed at.
#
# The nine actions of the group `motion` differ in how the body moves; so do the four of `pair`, of two people, which only the
# profile `full` has.
#
# Could the picture give the answer away, without anybody looking at the hands? The simulator takes care that it does not.
# A room with its light and its cameras belongs to a *setup*, which all people and all actions share. The three actions of
# a group are drawn as one scene: the same place in the room, the same colours, the same other things; only the shapes of
# things differ. A twin of everything that can be held stands on the counter, and things of one kind may have any colours,
# so neither what is there nor its colours say anything: only what is done with it does. `tests/short_cuts.py` tries what
# could give it away all the same (colour histograms, mean pictures, lengths, file sizes and more, across people and across
# views), and `make test` does so on a small release, where none may come to 15 points above chance. On five releases, 1200
# tested performances or more in each group, 206 of 208 such tests are at chance, and none comes to 5 points above it
# (`docs/ledger.md`; no record holds these numbers). The two that are not are one short cut, tried with two readers: across
# views, who is told which things are to be seen names 37.4 % of `face` right (chance is 33.3 %), for from one camera the twin of the
# toothbrush is at times too small to be listed, and the held one never.

# %%
name = "08_pose_is_not_enough"
plan = experiments.plan("pose_is_not_enough", source, profile, protocol, variant, seed=seed, strict=strict)
run, params = next(iter(plan.items()))
test = clips(run, params, root, "test")
first = {k: (test.label == k).nonzero().flatten() for k in test.label.unique().tolist()}
first = {k: int(clips[k % len(clips)]) for k, clips in first.items()}  # not the same person each time
print(f"{run.protocol}: {len(test)} test clips of {len(first)} actions")
for sentence in test.damaged:
    print("left out:", sentence)

# %% [markdown]
# One clip of each action, in the middle of the action: what a camera sees, drawn here in four times the size of the videos
# that the networks see. Boxes mark what decides. The names are NTU's: "check time" here is pointing at a clock, "use a fan" at a fan.

# %% tags=["nbval-ignore-output", "picture"]
during = test.__getitems__(list(first.values())).frames
pictures, boxes = [], []
for row, n in enumerate(first.values()):
    t = test.body.frames // 2 if during is None else int(during[row].nonzero().float().mean())
    film, _, box = test.film(n, 360 if test.truth else None, [t])
    pictures.append(film[0])
    boxes.append(box[0])
figures.contact_sheet([test.classes[k] for k in first], pictures, boxes)

# %% [markdown]
# ## Training
#
# One network reads joints: the pose ConvNet of Baradel, Wolf and Mille (BMVC 2018). Its input has the joints in the order of a
# walk around the skeleton's tree (`pose-tour`), so that neighbours stay neighbours and most joints come more than once. One
# sees single crops of 160 pixels around hands and takes the mean of its scores: no attention, no order in time, no pose. The
# profile `full` has three more pose networks, and three more that see. `crops-wide` sees crops of 600 pixels. `picture` is
# the control: a network of the same kind reads the whole picture at the same resolution, and takes the mean over all its
# places, so that it sees everything and looks nowhere. `evidence`
# sees crops at what decides, wherever it is: how well can things be told apart at this resolution if one only looks at
# the right place? In the quick profile, as a minute is short, `crops` begins with the weights of a `full` run
# (`results/weights`), which never saw the people who are tested.

# %% tags=["nbval-ignore-output", "trained"] tolerance=1.0
done = experiments.run(plan, root, out)
experiments.losses(done)

# %% [markdown]
# ## What is taken for what
#
# The pose tells the actions of `motion` apart. Those of the other groups it takes for each other, and in a quick run also for
# motions that look alike: holding at the head for a salute, holding before the chest for crossed hands. Only `two`, with its
# second person, stays among itself. The crops tell the held things of `chest` and `face` apart; what is pointed at, in
# `context` and `two`, lies beyond them. Each row is one action, of which a quick run tests seven clips.

# %% tags=["nbval-ignore-output", "picture"]
for run, one in done.items():
    if one.model is not None:
        tested = one.experiment.test()
        batch = tested.__getitems__(range(len(tested)))
        parts = zip(batch.poses.split(50), batch.hands.split(50), strict=True)
        read = torch.cat([one.model(*part).logits for part in parts]).argmax(1)
        title = f"{run.variant} on the test clips"
        display(figures.confusion(batch.label, read, tested.classes, title, groups(tested)))

# %% [markdown]
# ## Numbers
#
# In percent; `within` a group: when it is known that it is this group. Three classes are left, and chance is 33 %; in `motion`
# nine, chance 11 %, and in `pair` four, chance 25 %.

# %% tags=["nbval-ignore-output", "trained"] tolerance=20.0
numbers = experiments.metrics(done, "protocol", "variant").round(1)
numbers.filter(regex="^(accuracy|within_[a-z]+)$")

# %% [markdown]
# The floor of this quick run: crops tell the things that are held apart in at least 30 points more of the clips than by
# chance, on average over `chest` and `face`.

# %%
held = numbers[numbers.index.get_level_values("variant") == "crops"].filter(["within_chest", "within_face"])
enough = bool((held.mean(axis=1) >= 100 / 3 + 30).all()) if held.size else "not run"
print("at least 30 points above chance:", enough)

# %% [markdown]
# ## Over seeds
#
# The profile `full` simulates other performances for each seed. Three more models read the pose: with the joints once
# each (`pose-once`) or in a random order (`pose-random`), and a recurrent network (`pose-gru`). `evidence` sees nothing in
# clips without such a thing, so only the four groups count; of `pair` it knows the action with a parcel alone.
#
# Across people, mean of five seeds: crops around the hands read 90 % right within `chest` and 83 % within `face`, the pose 34
# and 33 %, which is chance. Within `context` and `two` crops are at chance as well, for they do not reach what is pointed
# at. Across views (three seeds) crops read 81 and 63 %. Crops at what decides read 97 to 100 % in each of the four groups, and
# 96 to 100 % across views: what decides can be told apart, if one knows where to look. That it is more than 95 % holds in four
# of the eight cases; see the claims.
#
# Seeing more did not help here. The whole picture shows the same things in the same resolution, and more of them; averaged over
# all places it reads 39 % within `chest` and 34 % within `face`, 51 and 48 points less than the crops (five seeds each). But
# this network learns little of anything: within `motion` it reads 15 % where chance is 11, and single crops 63. So the control
# shows that a mean over all places loses small things in a network of this size, not that no network could find them. A larger
# one, the first blocks of a network that knows ImageNet with two layers trained on top, averaged in the same way, read 48 %
# within `chest` and 38 within `face`, of held out people, after six epochs on 2,400 clips (one seed, measured aside; no record
# holds it). After fifteen epochs on 4,800 clips, however, one of this kind read 84 and 91 %, and within `context` and `two` 33
# and 34 (one seed, measured aside too). So the held things need no attention if the network knows ImageNet and has clips
# enough; what is pointed at does not come by itself. Wide crops show nearly four times the width. They keep about one sample a
# pixel of the video, where the narrow ones enlarge theirs, so they lack no detail; the thing is smaller in them, and more
# stands around it. They read 74 and 57 % (three seeds), and within `context` 37 ± 3 %, not clearly above chance.
#
# How joints are put in order hardly matters here (three seeds each, the tour five): of the actions that differ in their motion
# the tour reads 96 %, each joint once 94, a random order 94, the recurrent network 98 %. Within the four groups none is
# clearly above chance, which is tested for the tour alone, in the claims.

# %%
every = tables.measured()
every = every[(every.notebook == name) & (every.profile == "full") & (every.old == "")]
runs = every[every.metric.str.fullmatch("accuracy|within_[a-z]+")]
keys = ["protocol", "variant", "n"]
runs.pivot_table(index=keys, columns="metric", values=["mean", "sd"], sort=False).round(2)

# %% [markdown]
# Things that are pointed at lie beyond the hand, some farther than others. How far may they be? The wide crops reach 300
# pixels from the hand, so most things are in them; but so are the others, and all are small. At no distance do crops, wide
# crops, the whole picture or the pose clearly leave chance; crops at the thing itself are right in 95 to 98 % at each. Few
# clips are at the largest distance (3 to 18 a seed), and what lies farther is left out.

# %% tags=["nbval-ignore-output", "picture"]
far = every[every.metric.str.match("within_context_to_") & (every.protocol == "cross_subject")]
far = far[far.variant.isin(["pose-tour", "crops", "crops-wide", "picture", "evidence"])]
if len(far):
    display(figures.by_distance(far.assign(edge=far.metric.str.extract(r"(\d+)$")[0].astype(int))))

# %% [markdown]
# ## Claims
#
# Each is tested over whole sets of seeds, and prints its rule. The first interval (95 %) is over seeds: the noise of training.
# The second is over the units of the test set, here performances: which happened to be tested. A claim holds if both
# lie above its threshold. *Would matter* is the least effect worth speaking of, in points. Notebook 12 says what a *control* or *by
# construction* is, and how many claims are tested together; that a control fails is good.
#
# That something is at chance is tested by the binomial distribution on the counts of all seeds. That the pose stays there is
# built into the simulator; that crops tell the things apart on people never seen, and how far, is found.

# %%
tables.printed_claims(tables.claims(notebook=name))

# %% [markdown]
# ## Exercises
#
# 1. Set `variant = "pose-random"`. Does the order of the joints matter to the pose network? Compare with *Over seeds*: is a
#    difference of four points in a quick run one?
# 2. Below `plan = ...` write `for own in plan.values(): own["data"]["crop"] = 100`, and run again. What is lost? One pixel of the
#    videos is 12 of these, and `crops` begins with weights that were learned on crops of 160.
# 3. In the matrix of the crops find two actions that are taken for each other. Would you confuse them too? Look at both
#    pictures above.
#
# <details><summary>Answers, from one quick run each (seed 0, seven test clips an action)</summary>
#
# 1. The random order reads 46 % of all clips right, the tour 42; within `motion` 79 and 81 %. With 63 clips in `motion` one clip is
#    1.6 points, so neither is a difference. In `full` the tour reads 96 % of `motion` (five seeds), the random order 94 (three).
# 2. Within `chest` the crops read 67 instead of 81 %, and of all clips 35 instead of 41 %; within `face` 71 instead of 67, which is one
#    clip more of 21. So it is at the chest that something is lost; the network was taught on crops of 160 pixels.
# 3. This depends on the run. Within `context` and `two`, whose things that are pointed at lie beyond the crops, this network reads 29
#    and 43 % right, where chance is 33.
#
# </details>
