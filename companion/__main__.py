"""The command line: `companion train CHAPTER`, `rerun RECORD`, `tables`, `data check NAME ROOT`,
`data simulate OUT`, `doctor`.
"""

import ctypes
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
data = typer.Typer(no_args_is_help=True, help="Datasets on this machine.")
app.add_typer(data, name="data")

PACKAGES = "companion torch torchvision accelerate numpy pandas papermill jupyterlab snakemake".split()


@contextmanager
def said() -> Iterator[None]:
    """What stops a command is one sentence, and status 1, or 130 where the user did."""
    try:
        yield
    except (OSError, ValueError) as error:
        typer.echo(f"companion: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("companion: stopped; what is written stays, and the same call goes on from it", err=True)
        raise typer.Exit(130) from None


def follow() -> None:
    """Let Linux end this process with the one that launched it on several, however that ends."""
    if sys.platform == "linux" and {"LOCAL_RANK", "ACCELERATE_MIXED_PRECISION"} & os.environ.keys():
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


@app.command()
def doctor() -> None:
    """Versions, devices, and which datasets are found under COMPANION_DATA and whole."""
    import torch

    typer.echo(f"python      {platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in PACKAGES:
        try:
            typer.echo(f"{name:11} {version(name)}")
        except PackageNotFoundError:
            typer.echo(f"{name:11} is not installed: run make book")
    typer.echo(f"cpu         {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    for i in range(torch.cuda.device_count()):
        typer.echo(f"gpu {i}       {torch.cuda.get_device_name(i)}")
    if not torch.cuda.is_available():
        typer.echo("gpu         none: everything runs on the CPU")
    root = os.environ.get("COMPANION_DATA")
    typer.echo(f"data        {root or 'COMPANION_DATA is not set: only the embedded data'}")
    for name, check in checks(read=False).items():
        try:
            typer.echo(f"  {name:12} {check(root)}")
        except (OSError, ValueError) as error:
            typer.echo(f"  {name:12} {error}")


@app.command()
def train(
    chapter: str,
    source: Annotated[str, typer.Option(help="Default: the first of the profile.")] = "",
    profile: Annotated[str, typer.Option(help="quick, full or paper.")] = "quick",
    protocol: Annotated[str | None, typer.Option(help="Default: all of the profile.")] = None,
    variant: Annotated[str | None, typer.Option(help="Default: all of the protocol.")] = None,
    fold: Annotated[str | None, typer.Option(help="Default: all of the protocol.")] = None,
    seed: str = "0",
    root: Annotated[Path | None, typer.Option(help="The folder that contains the dataset's folder.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
    strict: Annotated[bool, typer.Option(help="Or leave damaged clips out, with a warning.")] = True,
    precision: Annotated[
        str | None, typer.Option(help="f32 or bf16 instead of the preset's; needs --out.")
    ] = None,
) -> None:
    """Train and test what a chapter's presets say, and record it; `accelerate launch -m companion train ...`.

    A record that stands is not made again.
    """
    follow()
    with said():
        from companion import experiments, presets, training

        source = source or next(iter(presets.load(chapter)["presets"].get(profile, {})), "")
        plan = experiments.plan(chapter, source, profile, protocol, variant, fold, seed, strict)
        if precision:
            if out is None:
                raise ValueError(
                    "a record in another precision than its preset's must not take its place; pass --out"
                )
            plan = {run: params | {"precision": precision} for run, params in plan.items()}
        main = training.accelerator().is_main_process
        for run in plan:
            one = experiments.run({run: plan[run]}, root, out)[run]
            if main:
                numbers = ", ".join(f"{name} {value:g}" for name, value in one.record["metrics"].items())
                typer.echo(f"{run.path(out)}: {numbers}")


@app.command()
def rerun(
    record: Path,
    root: Annotated[Path | None, typer.Option(help="The folder that contains the dataset's folder.")] = None,
    accept: Annotated[
        bool, typer.Option(help="If equal, note in the variant's records that present code gives them.")
    ] = False,
) -> None:
    """Train one record again, in a folder of its own, and print old beside new with the tolerance."""
    with said():
        from companion import experiments, records

        old, new, table = experiments.rerun(record, root)
        typer.echo(table.to_string(na_rep=""))
        equal = records.same(old, new)
        weights = [made["provenance"].get("weights") for made in (old, new)]
        typer.echo(f"weights {weights[0]}, now {weights[1]}; {'all equal' if equal else 'not all equal'}")
        if accept:
            for path in experiments.accept(record, old, new, root):
                typer.echo(f"accepted {path}")
    if not table["within"].all():
        raise typer.Exit(1)


@data.command()
def check(name: str, root: Annotated[Path | None, typer.Argument()] = None) -> None:
    """Is the dataset NAME under ROOT (default: COMPANION_DATA) whole?"""
    with said():
        if name not in checks():
            raise ValueError(f"unknown dataset {name!r}; choose one of {', '.join(checks())}")
        found = checks()[name](root)
    typer.echo(f"{name}: {found}")
    if not found.startswith("complete"):
        raise typer.Exit(1)


@data.command()
def simulate(
    out: Path,
    groups: Annotated[
        str, typer.Option(help="Of actions, with commas: motion,chest,face,context,two,pair.")
    ] = "",
    subjects: Annotated[int, typer.Option(help="People, at most 40.")] = 16,
    cameras: Annotated[int, typer.Option(help="1 to 3, at once.")] = 3,
    repetitions: Annotated[int, typer.Option(help="Of each action by each person.")] = 1,
    setups: Annotated[int, typer.Option(help="Rooms, at most 17.")] = 10,
    left_handed: Annotated[float, typer.Option(help="Share of the people.")] = 0.2,
    frames: Annotated[int, typer.Option(help="Of a clip at least, ten a second.")] = 24,
    height: Annotated[int, typer.Option(help="Of the videos, 16:9; 0: skeletons only.")] = 90,
    seed: int = 0,
    processes: Annotated[int | None, typer.Option(help="Default: one a core.")] = None,
) -> None:
    """Write a simulated release of NTU RGB+D into OUT/ntu; a call that was interrupted goes on."""
    with said():
        from companion.simulator.release import Release, simulate

        chosen = {"groups": tuple(groups.split(","))} if groups else {}
        release = Release(
            subjects=subjects, cameras=cameras, repetitions=repetitions, setups=setups,
            left_handed=left_handed, frames=frames, height=height, seed=seed, **chosen,
        )  # fmt: skip
        simulate(out, release, processes)
    clips = len(release.performances()) * cameras
    typer.echo(f"{clips} clips in {out / 'ntu'}; use it with -p source simulated -p root {out}")


def checks(read: bool = True) -> dict[str, Callable]:
    """Dataset -> what says that it is whole or how much of it is there, or raises.

    Args:
        read: read every file; else count clips and pictures, which takes no time.
    """
    from companion.datasets import digits, fixations, labelled_pictures, labelled_videos, questions, sources
    from companion.experiments.releases import told
    from companion.formats import clips, ntu, simulated

    def skeletons(name: str) -> Callable:
        data = sources.skeletons(name)

        def count_or_read(root: Path | None) -> str:
            files, official, parse, where = data.files(root), data.clips, data.parse, f"at {data.where}"
            alone = []
            if name == "ntu":
                top = files[0].parents[2]
                official -= len(ntu.ignored(top))
                if about := simulated.manifest(top):
                    made = told(top, about)
                    official, where = len(made.performances()) * made.cameras, "by companion data simulate"
                if ntu.video(files[0]).parent.is_dir():
                    parse, alone = ntu.filmed, ntu.unmatched(files)
            if read and alone:
                raise ValueError(f"{len(alone)} videos have no skeleton: {alone[0]} ...; download these")
            if read:
                return clips.check(files, parse, official, where)
            return f"{len(files)} of {official} files"

        return count_or_read

    return {
        "digits": lambda root: digits.check("digits", root),
        "mnist": lambda root: digits.check("mnist", root),
        **{name: skeletons(name) for name in ("ntu", "sbu", "msr_daily", "nucla")},
        **{name: partial(fixations.check, name, read=read) for name in fixations.RECORDED},
        **{name: partial(labelled_pictures.check, name, read=read) for name in labelled_pictures.FORMATS},
        **{name: partial(questions.check, name, read=read) for name in questions.FORMATS},
        "ucf11": partial(labelled_videos.check, read=read),
    }


@app.command()
def tables(
    show: Annotated[
        bool, typer.Option(help="Only print; write into results/quick, change no file in git.")
    ] = False,
) -> None:
    """List the records that are old, and why; build results/tables and the tables of the README."""
    with said():
        from companion.files import checkout, scratch, write_whole

        home = checkout()
        from companion import tables as rooms

        built = rooms.build()
        if show:
            rooms.write(built, scratch())
            typer.echo(rooms.show(built))
            return
        for line in rooms.stale():
            typer.echo(line)
        page = home / "README.md"
        write_whole(page, rooms.readme(page.read_text(encoding="utf-8"), built))
        for path in rooms.write(built):
            typer.echo(path.relative_to(home))


if __name__ == "__main__":
    app()
