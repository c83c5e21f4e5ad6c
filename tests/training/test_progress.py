"""The line that tells how far training is."""

import pytest
from skorch.callbacks import Callback

import skmeta
from skmeta import HeTRoM, RidgeHeadRegressor

TASKS = skmeta.make_linear_tasks(10, 8, 2, random_state=0)


def said(capsys, wrap=lambda learner: learner, **params):
    learner = RidgeHeadRegressor(n_shots=3, max_iter=150, hidden_layer_sizes=(4,), **params)
    wrap(learner).fit(TASKS.data, TASKS.target, groups=TASKS.groups)
    return capsys.readouterr()


def test_silent_by_default(capsys):
    assert said(capsys) == ("", "")


@pytest.mark.parametrize("wrap", [lambda learner: learner, HeTRoM])
def test_one_line_with_losses(capsys, wrap):
    out, err = said(capsys, wrap, verbose=1, validation_fraction=0.3, n_iter_no_change=100)
    assert out == ""
    last = err.split("\r")[-1]
    assert last.startswith("RidgeHeadRegressor: 100%")
    assert "150/150" in last
    assert "meta-loss=" in last
    assert "validation loss=" in last
    assert err.count("\n") == 1


def test_a_row_for_each_epoch(capsys):
    out, err = said(capsys, verbose=2)
    assert err == ""
    assert "train_loss" in out
    assert len(out.strip().splitlines()) == 2 + 75


class Fails(Callback):
    def on_batch_end(self, net, **kwargs):
        raise RuntimeError("as meant")


def test_a_fit_that_fails_leaves_the_next_one_its_line(capsys):
    with pytest.raises(RuntimeError, match="as meant"):
        said(capsys, verbose=1, callbacks=[Fails()])
    assert "150/150" in said(capsys, verbose=1).err.split("\r")[-1]
