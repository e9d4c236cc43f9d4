"""Experiments of which nothing is trained step by step."""

from pathlib import Path

from torch import nn

from companion.training import Experiment, save_checkpoint


class Fixed(Experiment):
    """A model that is ready when it is built."""

    def learn(self, seed: int, checkpoint: Path) -> tuple[nn.Module, list[float]]:
        model = self.build()
        save_checkpoint(checkpoint, model)
        return model, []
