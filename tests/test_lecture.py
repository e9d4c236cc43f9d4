"""The lecture as data resolves to what is there, and the README shows it."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from companion import lecture

HOUSE = Path(__file__).resolve().parents[1]
CHAPTERS = """00_the_lecture 01_deformable_part_models 02_gaze 03_weakly_supervised_attention
04_soft_attention 05_hard_attention 06_attention_on_joints 07_feature_map_attention 08_pose_is_not_enough
09_pose_driven_attention 10_context 11_glimpse_clouds 12_published_vs_reproduced""".split()


def test_every_chapter_treats_a_slide_and_every_notebook_is_a_chapter():
    treated = {topic.notebook for topic in lecture.TOPICS}
    assert set(CHAPTERS) <= treated, "a chapter of the lecture is gone"
    assert {path.stem for path in (HOUSE / "notebooks").glob("*.ipynb")} <= treated, "add a topic"


@pytest.mark.parametrize("topic", lecture.TOPICS, ids=lambda topic: topic.slide)
def test_an_entry_is_complete_and_its_tables_are_there(topic):
    assert topic.slide and topic.claim.endswith(".")
    for name in topic.tables:
        assert (HOUSE / f"results/published/{name}.csv").is_file()


def test_every_published_table_belongs_to_a_slide():
    named = {name for topic in lecture.TOPICS for name in topic.tables}
    assert named == {path.stem for path in (HOUSE / "results/published").glob("*.csv")}


@pytest.mark.parametrize("topic", lecture.TOPICS, ids=lambda topic: topic.slide)
def test_a_notebook_that_is_there_has_its_text_pair_and_its_model(topic):
    assert topic.exists == (HOUSE / f"notebooks/percent/{topic.notebook}.py").is_file()
    if topic.exists and topic.model:
        importlib.import_module(f"companion.models.{topic.model.removesuffix('.py')}")


def test_a_planned_chapter_is_listed_without_links(monkeypatch, tmp_path):
    monkeypatch.setattr(lecture, "checkout", lambda: tmp_path)
    page = lecture.slide_map()
    assert "| 05_hard_attention (planned) | `ram.py` |" in page
    assert "](notebooks/" not in page


def test_links_of_the_slide_map_lead_to_files():
    for page, folder in ((lecture.slide_map(), HOUSE), (lecture.slide_map("../"), HOUSE / "notebooks")):
        targets = [part.split(")")[0] for part in page.split("](")[1:]]
        assert targets
        assert [target for target in targets if not (folder / target).is_file()] == []


def test_the_lecture_imports_nothing_heavy():
    code = "import sys, companion.lecture; print({'torch', 'pandas', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=HOUSE, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
