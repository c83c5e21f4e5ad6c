"""What `inner_lr` may be."""

from __future__ import annotations

import pytest
import torch

import skmeta
from skmeta.inner._rates import InnerRates


def test_the_longest_name_counts_in_any_order():
    weights = {"0.weight": torch.zeros(2), "0.bias": torch.zeros(2), "2.weight": torch.zeros(2)}
    for rates in ({"0": 0.1, "0.weight": 0.2}, {"0.weight": 0.2, "0": 0.1}):
        found = InnerRates(weights, rates, None)()
        assert found == {"0.weight": 0.2, "0.bias": 0.1, "2.weight": 0.0}


@pytest.mark.parametrize("rate", [{}, float("nan"), float("inf"), {"0": float("nan")}])
def test_no_rate_is_an_error(rate):
    tasks = skmeta.make_linear_tasks(6, 6, 2, random_state=0)
    with pytest.raises(ValueError, match="inner_lr"):
        skmeta.MAMLRegressor(inner_lr=rate, max_iter=1).fit(
            tasks.data, tasks.target, groups=tasks.groups
        )
