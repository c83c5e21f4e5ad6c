"""A line that tells how far meta-training is."""

from __future__ import annotations

from typing import Any

from skorch import NeuralNet
from skorch.callbacks import Callback

__all__ = ["ProgressLine"]


class ProgressLine(Callback):
    """Shows the meta-updates done, the losses and the time left, by tqdm.

    Unlike skorch's `ProgressBar`, which has a line for each epoch, it has one for all of them.

    Parameters
    ----------
    name : str
        Of what is trained.
    n_updates : int
        Meta-updates altogether.
    """

    def __init__(self, name: str, n_updates: int) -> None:
        self.name = name
        self.n_updates = n_updates

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Open the line."""
        from tqdm.auto import tqdm  # loads what notebooks need

        self.line_ = tqdm(desc=self.name, total=self.n_updates, unit="update")

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Bring it up to date."""
        row = net.history[-1]
        names = {"train_loss": "meta-loss", "valid_loss": "validation loss"}
        losses = {said: f"{row[name]:.3g}" for name, said in names.items() if name in row}
        self.line_.set_postfix(losses, refresh=False)
        self.line_.update(row["train_batch_count"])

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Close it."""
        self.line_.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "line_"}
