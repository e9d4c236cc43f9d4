"""One list of dependencies, told three times: pyproject.toml, environment.yml, constraints.txt."""

import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HOUSE = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def test_conda_users_get_what_pip_users_get():
    conda = yaml.safe_load((HOUSE / "environment.yml").read_text())["dependencies"]
    (pip,) = (entry["pip"] for entry in conda if isinstance(entry, dict))
    assert f"python{PROJECT['requires-python']}" in conda
    assert sorted(pip) == sorted([*PROJECT["dependencies"], *EXTRAS["test"], "-e ."])


def test_every_dependency_is_pinned_within_its_range():
    pins = {}
    for line in (HOUSE / "constraints.txt").read_text().splitlines():
        name, version = line.split("==")
        pins[canonicalize_name(name)] = version
    for word in [*PROJECT["dependencies"], *EXTRAS["test"], *EXTRAS["slurm"]]:
        wanted = Requirement(word)
        assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), word
