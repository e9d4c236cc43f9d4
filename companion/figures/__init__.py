"""Figures of the notebooks: pictures with title, axis names and alternative text."""

from pathlib import Path
from types import ModuleType

from IPython.display import Markdown

from companion.figures.answers import Reply, replies
from companion.figures.clouds import chase, corners, looked
from companion.figures.curves import by_distance, by_glimpses, dealt, growth, over_time
from companion.figures.gaze import between, heatmaps, scanpaths
from companion.figures.images import boxed_images, contact_sheet, density, glyphs, maps, objects
from companion.figures.poses import front, skeletons
from companion.figures.results import confusion, dumbbells, forest

__all__ = [
    "Reply",
    "between",
    "boxed_images",
    "by_distance",
    "by_glimpses",
    "confusion",
    "chase",
    "contact_sheet",
    "corners",
    "dealt",
    "density",
    "dumbbells",
    "forest",
    "front",
    "glyphs",
    "growth",
    "heatmaps",
    "looked",
    "maps",
    "objects",
    "over_time",
    "replies",
    "scanpaths",
    "skeletons",
    "source",
]


def source(module: ModuleType) -> Markdown:
    """The file that was imported, not a copy of it."""
    return Markdown(f"```python\n{Path(module.__file__).read_text(encoding='utf-8')}```")
