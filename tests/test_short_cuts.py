"""What must not tell the action of a simulated clip, tried on a small release; see `short_cuts.py`."""

import pandas as pd
import pytest
from short_cuts import ALONE, SHORT_CUTS, battery, clips, readers, told

from companion.simulator import actions, release
from companion.simulator.release import Release

SMALL = Release(subjects=40, cameras=2, left_handed=0.5, frames=8, height=36)


@pytest.fixture(scope="module")
def small():
    return clips(release.stored(SMALL))


def test_nothing_but_what_decides_tells_the_action(small):
    """Up to chance + 15 points, for so few performances: each group, across people and views."""
    found = battery([small])
    assert set(found["group"]) == set(actions.GROUPS)
    assert {*SHORT_CUTS, *ALONE} == set(found["short cut"]) and set(found["protocol"]) == {
        "cross_subject",
        "cross_view",
    }
    worst = found.loc[(found["right"] - found["chance"]).idxmax()]
    assert worst["right"] < worst["chance"] + 15, dict(worst)


def test_the_readers_read_what_does_tell(small):
    """How far each hand goes tells motions and pairs; both things of `two` together tell its classes."""
    for group in ("motion", "pair"):
        some = small[small["group"] == group]
        right = 100 * told(some, "hands", readers()["logistic"], "cross_subject").mean()
        assert right > 100 / some["action"].nunique() + 15, group
    two = small[small["group"] == "two"]
    both = [a + b for a, b in zip(two["held"], two["pointed at"], strict=True)]
    assert told(two.assign(both=both), "both", readers()["1-NN"], "cross_subject").mean() == 1


def test_everybody_does_everything_equally_often(small):
    done = pd.crosstab(small["person"], small["action"])
    assert done.shape == (SMALL.subjects, len(actions.ACTIONS))
    assert (done.to_numpy() == SMALL.cameras * SMALL.repetitions).all()


def test_setups_are_shared_by_people_and_actions(small):
    """NTU's S: a room with its cameras; each is that of several people, and of all actions."""
    setup = small["camera"].str[0]
    people, kinds = (small.groupby(setup)[what].nunique() for what in ("person", "action"))
    assert len(people) == SMALL.setups and people.min() > 1 and kinds.min() == len(actions.ACTIONS)
