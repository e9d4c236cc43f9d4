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
# # Published and reproduced, side by side
#
# *The result tables of the lecture and of the papers, and what this code measured under the same protocol.*
#
# **Question.** How much of what the slides report can be measured again, how near does it come, and which of the lecture's
# statements do the measurements bear out?
#
# Published numbers are transcribed in `results/published/`, with the errors that are known in the column `note`.
# Reproduced numbers are means over seeds of the committed records in `results/runs/`, each with its commit, versions
# and device. Nothing here is typed: the tables are built from those files when the notebook runs.

# %%
import pandas as pd

from companion import claims, figures, tables

pd.set_option("display.max_rows", None, "display.max_colwidth", None)
built = tables.build()

# %% [markdown]
# ## How much is reproduced
#
# A published number counts as reproduced if records have all folds of its protocol. Two numbers of N-UCLA stand in
# two rows of their table, once for each way to deal with its copied clips; they count once.

# %%
print(tables.coverage(built))
counts = {
    name: {"rows": len(table), "rows with a reproduction": int(table.reproduced.notna().sum())}
    for name, table in built.items()
    if "published" in table
}
pd.DataFrame(counts).T.rename_axis("table")

# %% [markdown]
# ## Published beside reproduced
#
# The published numbers that have a record; all rows are in `results/tables/`. Accuracy is good when high, error when low.
# `sd` is the spread over seeds, that is, over trainings, and says nothing about another test set. Read the last column
# before you compare: it says what was done otherwise than in the paper, what lacks, and whether the records are *old*,
# that is, made with other params, other code or in other precision than the presets say today.

# %%
tables.printed(tables.reproduced(built)).set_index("method")

# %% [markdown]
# The same as a picture: two dots a row, the published number and the reproduced mean with its spread over seeds. Look for
# lines that are long against that spread, then for their reason in the table: a reproduction above the published number
# need not be a better model, where the recipe is a newer one.

# %% tags=["nbval-ignore-output", "picture"]
rows = tables.reproduced(built).dropna(subset="reproduced")
figures.dumbbells(rows.assign(note=rows.caveat))

# %% [markdown]
# ## The published tables
#
# Each slide with numbers, one row a method, one column a protocol.

# %%
published = tables.published()
wide = {
    name: rows.pivot_table(index="method", columns="protocol", values="published", sort=False)
    for name, rows in published.items()
}

# %%
wide["ntu_hands"].astype(object).fillna("")

# %%
wide["sbu"].astype(object).fillna("")

# %%
wide["msr_daily"].astype(object).fillna("")

# %%
wide["ntu_glimpse_clouds"].astype(object).fillna("")

# %%
wide["nucla"].astype(object).fillna("")

# %%
wide["ram"].astype(object).fillna("")

# %% [markdown]
# ## What the notes say
#
# Errors found in the tables, or what a number does not mean.

# %%
notes = pd.concat(published.values())[["table", "method", "note"]].drop_duplicates()
notes[notes.note != ""].set_index("method")

# %% [markdown]
# ## Claims: how they are tested
#
# A claim is a sentence of a slide, written as a difference of measured percentages: *attention recognises more than none*
# is the accuracy with attention minus that without. Two kinds of luck could fake such a difference, so it has two
# intervals, each of 95 %:
#
# - **over seeds**: would it come out again if the networks were trained again? (Student's interval of the differences, one a
#   seed)
# - **over the test set**: would it come out again on other samples of the same kind? The samples that were tested are drawn
#   anew, with replacement, 10,000 times, and the difference is taken each time (the *bootstrap*; an image, a performance or
#   a sequence is drawn as a whole, with both models' answers to it, and all count alike, however many questions or clips
#   they have; so the effect need not be the middle of this interval). With fewer than 40 samples, or 20 in one of several test sets, it is Student's; of one
#   percentage of answers that do not depend on each other it is Clopper and Pearson's, for the
#   bootstrap's is too short near 100 %.
#
# | verdict | what it means |
# |---|---|
# | holds | both intervals lie above the threshold: zero, or 95 % where the claim says so |
# | holds over seeds; test set not yet | the first does; the records are older than the scores that the second needs |
# | holds, but is smaller than what would matter | the difference is there, and too small to care about |
# | fails over … | that interval reaches the threshold or lies below; the claim is not shown, which does not show its opposite |
# | not yet | what lacks is named: counts of right answers or 400 performances for a test of chance, a second seed or unit |
# | incomplete | seeds or folds lack: no number is shown |
# | …; N of M records old | some were made with other params, code or data than the presets say today, others were not |
#
# Two kinds of claim tell little by themselves. A **control** is expected to fail: if it held, something would be wrong with
# the experiment. What is true **by construction** could hardly come out otherwise, because the data were drawn so; it is
# tested nevertheless, as a check of the data.

# %%
said = built["claims"]
said["kind"].value_counts().rename("claims").to_frame()

# %%
print(claims.together(said.kind.tolist()))

# %% [markdown]
# ## Claims: what came out
#
# Effects and intervals are in points, but for claims that a percentage is above a threshold such as 95 %, and for bits and scores from 0 to 1,
# which have three decimals. Of a claim that something is at
# chance they are points above chance, with one-sided bounds over the test set, and must stay *below* 5. An interval
# ends where a percentage does. Of a claim that a number lies above a level, such as 95 %, both `effect` and `would matter` are levels. `95 %` are the two intervals, `units` is what was drawn for the second (pictures, performances, people),
# `kind` is explained above, and `records` says whether some are old.

# %%
tables.printed_claims(said)

# %% [markdown]
# Each dot is an effect with its interval over seeds, and the thin one over the test set where there is one; the mark is the
# threshold that decides. Each chapter has an axis of its own, and another for what is in bits or scores from 0 to 1.

# %% tags=["nbval-ignore-output", "picture"]
twice = said.claim.duplicated(keep=False)  # of two sources, which are named
named = said.claim.mask(twice, said.claim + ", on " + said.source)
panel = said.notebook.mask(said.matters.abs() < 1, said.notebook + ": bits, and scores from 0 to 1")
figures.forest(said.assign(claim=named, panel=panel).dropna(subset="effect"))

# %% [markdown]
# ## The rules, and why some claims tell little

# %%
said.groupby("rule", sort=False).size().rename("claims").to_frame()

# %%
why = said[said.kind != "claim"].assign(why=said.control.where(said.control != "", said.by_construction))
why.set_index("claim")[["kind", "why", "verdict"]]

# %% [markdown]
# ## In short
#
# - A small part of the lecture's numbers is reproduced, and each has caveats that belong to it.
# - A number above a published one can come from the recipe: on SBU the network *without* attention passes what was
#   published with it (the caveat of STA-LSTM).
# - Five trainings on one test set tell about the training, not about the task; a claim needs both intervals.
# - A claim that fails is not refuted: its interval says how large the effect could still be.
# - A control that fails is good news.
#
# ## Further reading
#
# `docs/ledger.md` lists what was found wrong or left open in papers and released code. Efron and Tibshirani, *An
# Introduction to the Bootstrap* (1993), chapters 6 and 13, on what a bootstrap interval means.
