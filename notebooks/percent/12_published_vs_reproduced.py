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
# Published numbers are transcribed in `results/published/`, with the errors that are known in the column `note`.
# Reproduced numbers are means over seeds of the committed records in `results/runs/`, each with its commit, versions
# and device. Nothing here is typed: the tables are built from those files when the notebook runs.

# %%
import pandas as pd

from companion import tables

pd.set_option("display.max_rows", None, "display.max_colwidth", 70)
built = tables.build()

# %% [markdown]
# ## How much is reproduced

# %%
counts = {
    name: {"rows": len(table), "reproduced": int(table.reproduced.notna().sum())}
    for name, table in built.items()
    if "published" in table
}
pd.DataFrame(counts).T

# %% [markdown]
# ## Published beside reproduced
#
# Rows that nothing reproduces yet are left out here; all rows are in `results/tables/`.

# %%
tables.reproduced()[
    ["method", "dataset", "protocol", "metric", "published", "reproduced", "sd", "n", "note"]
].astype(object).fillna("")

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
# ## Claims
#
# What the slides say, as differences of measured numbers paired over seeds. A claim holds if its 95 % interval lies
# above zero; one that fails is printed as failed.

# %%
built["claims"][["claim", "notebook", "protocol", "effect", "low", "high", "n", "holds"]].astype(
    object
).fillna("")
