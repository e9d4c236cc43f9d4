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
# # The lecture, slide by slide
#
# *Christian Wolf, "Attention in Computer Vision", lecture 4.2 of "Deep Learning and Differential Programming", INSA Lyon.*
#
# Every topic of the lecture, whose idea it is, the notebook that treats it, and the published tables that hold its
# numbers. Chapters that do not exist yet are listed as planned.

# %%
from IPython.display import Markdown

from companion import lecture

# %%
Markdown(lecture.slide_map(up="../"))

# %% [markdown]
# ## What the slides say
#
# A claim becomes a statement over measured numbers in its chapter, and is tested there. The statements that are
# tested so far, and how they came out, stand in [12_published_vs_reproduced](12_published_vs_reproduced.ipynb).

# %%
Markdown("\n".join(f"- **{topic.slide}**: {topic.claim}" for topic in lecture.TOPICS))
