"""Hard attention on digits: RAM, random and soft readers, networks that see all of it (chapter 05)."""

import re
from functools import cache, partial
from pathlib import Path

from companion import presets
from companion.datasets.digits import Digits
from companion.datasets.sources import data_fingerprint
from companion.metrics import glimpses
from companion.models import ram
from companion.records import Run
from companion.training import Experiment, fit

VARIANTS = r"(ram|random|soft|fc)-[1-9]\d*|conv"
FIT = fit  # what takes the options of the presets' `fit`


def prepare(run: Run, params: dict, root: str | Path | None = None) -> Experiment:
    """Variants: ram-T, random-T, soft-T for T glimpses, fc-W for W hidden units, conv; see `ram.build`.

    Every seed draws the canvases of training anew; the test canvases are the same for all.
    """
    if not re.fullmatch(VARIANTS, run.variant):
        raise ValueError(
            f"unknown variant {run.variant!r} of {run.chapter}; choose ram-T, random-T, soft-T (T glimpses),"
            " fc-W (W units) or conv"
        )
    train = cache(lambda: Digits(run.source, "train", run.protocol, run.seed, root))
    test = cache(lambda: Digits(run.source, "test", run.protocol, root=root))
    return Experiment(
        data=lambda: {run.source: data_fingerprint(run.source, root)},
        read=lambda: (train(), test()),
        train=train,
        test=test,
        build=lambda: ram.build(run.variant, train().side, **params["model"]),
        params=params,
        loss=partial(ram.objective, **params.get("loss", {})),
        score=glimpses.scores,
        units=presets.claimed(run.chapter),
    )
