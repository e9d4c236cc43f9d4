"""Where the data of an experiment on people lie, and which they are, known before anything is simulated."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from companion.datasets.sources import data_fingerprint
from companion.files import DamagedFile
from companion.formats.simulated import MANIFEST, manifest
from companion.simulator import release
from companion.simulator.release import Release


class Place(NamedTuple):
    """A dataset: its fingerprint by name, and its root, made by the first call where it is simulated here."""

    data: Callable[[], dict[str, str]]
    root: Callable[[], str | Path | None]


def simulated(made: Release, source: str, root: str | Path | None) -> Place:
    """A source at a root; or, where it is simulated and there is no root, the release that is made here."""
    if source == "simulated" and root is None:
        return Place(lambda: {source: release.key(made)}, lambda: release.stored(made))
    return Place(lambda: {source: data_fingerprint(source, root)}, lambda: root)


def told(root: str | Path, about: dict) -> Release:
    """The release at a root, as its manifest says.

    Raises:
        DamagedFile: there is no such one.
    """
    try:
        return Release(**about["release"])
    except ValueError as error:
        raise DamagedFile(f"{Path(root) / 'ntu' / MANIFEST}: {error}; or simulate it anew") from None


def asked(
    params: dict, seed: int, source: str, root: str | Path | None, made: Release | None = None
) -> tuple[dict, Place]:
    """The params and the place of a run: its preset's release, drawn from the run's seed, or that at `root`.

    Of another release than the preset's the params tell the parameters.

    Args:
        made: the release of presets that name none.

    Raises:
        ValueError: what is at `root` was not simulated or not finished; or the preset has no release.
    """
    if source != "simulated":
        return params, simulated(release.SKELETONS, source, root)
    if "release" in params:
        made = Release(**{"seed": seed} | params["release"])
    if made is None:
        raise ValueError("the preset of a simulated source has no key 'release'; add its parameters")
    if root is not None:
        about = manifest(root)
        if about is None:
            raise ValueError(
                f"{root} holds no simulated release; choose source ntu, or companion data simulate"
            )
        if told(root, about) != made:
            params = params | {"release": about["release"]}
    return params, simulated(made, source, root)
