"""
How far is ANIL from multi-task learning?
=========================================

ANIL meta-learns a network for heads that take gradient steps; multi-task training just trains the
network with one head for each task. Do they tell a new country's life expectancy alike? Wang, Zhao
and Li (2021, arXiv:2106.09017) show that in wide ReLU networks they must, up to ``O(λτ + 1/L)``: λ
and τ are the rate and the number of ANIL's inner steps, L is the depth. This example looks at
countries first, then measures the distance on drawn tasks in small. With more seeds, widths and
intervals it is `docs/distance_bound.md`.
"""

# %%
# A network as the theory has it
# ------------------------------
# Weights are standard normal and products are divided by the root of their length. Both learners
# start from the same network, and every head from the same weights: a callback sees to that.

import math
from functools import cache
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.linear_model import Ridge
from skorch.callbacks import Callback

import skmeta

N_TASKS, N_TEST, N_FEATURES, N_SHOTS, WIDTH = 12, 40, 10, 5, 128


class ReLUNetwork(torch.nn.Module):
    def __init__(self, n_features_in, depth):
        super().__init__()
        sizes = pairwise([n_features_in] + [WIDTH] * depth)
        self.weights = torch.nn.ParameterList(torch.randn(n, m) for n, m in sizes)

    def forward(self, X):
        for W in self.weights:
            X = math.sqrt(2) * torch.relu(X @ W / math.sqrt(len(W)))
        return X / math.sqrt(X.shape[1])


class StartHeads(Callback):
    def __init__(self, head):
        self.head = head

    def on_train_begin(self, net, **_):
        parameters = dict(net.module_.named_parameters())
        with torch.no_grad():
            if "heads" in parameters:  # one for each task
                parameters["heads"].zero_()[:, 1:] = self.head[:, None]
            else:
                parameters["head.network.bias"].zero_()
                parameters["head.network.weight"][:] = self.head


# %%
# Tasks
# -----
# Real ones: countries with the life expectancy of twelve surveys each. And drawn ones, where depth
# and rate can be told from chance: the target is a sine of a projection, half of which tasks have
# in common. Rows are brought to one length, as in the theory.


def to_sphere(X):
    return X * math.sqrt(X.shape[2]) / np.linalg.norm(X, axis=2, keepdims=True)


def countries(n_tasks, n_rows, seed):
    data = skmeta.load_gapminder()
    X = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
    X = to_sphere(np.column_stack([X, np.ones(len(X))]).reshape(142, 12, -1))
    y = ((data.target - data.target.mean()) / data.target.std()).reshape(142, 12)
    random = np.random.default_rng(seed)
    task = random.permutation(142)[:n_tasks, None]
    rows = random.permuted(np.tile(np.arange(12), (n_tasks, 1)), axis=1)[:, :n_rows]
    return X[task, rows].astype(np.float32), y[task, rows].astype(np.float32)


def drawn(n_tasks, n_rows, seed):
    random, common = np.random.default_rng(seed), np.random.default_rng(0)
    X = to_sphere(random.standard_normal((n_tasks, n_rows, N_FEATURES)))
    w = common.standard_normal(N_FEATURES) + random.standard_normal((n_tasks, N_FEATURES))
    y = np.sin(2 * np.einsum("tnd,td->tn", X, w) / math.sqrt(N_FEATURES))
    return X.astype(np.float32), y.astype(np.float32)


# %%
# The distance
# ------------
# Both train by gradient descent on all tasks at once. For a new task the head goes back to its
# start and is fine-tuned on five rows until it fits them; the features are what training made.


def predictions(learner, depth, seed, tasks=drawn):
    X, y = tasks(N_TASKS, 2 * N_SHOTS, seed + 1)
    torch.manual_seed(seed)
    body, head = ReLUNetwork(X.shape[2], depth), torch.randn(WIDTH)
    learner.set_params(module=body, callbacks=[StartHeads(head)], random_state=seed)
    learner.set_params(optimizer=torch.optim.SGD, lr=0.5 / (depth + 2), max_iter=100)
    learner.set_params(meta_batch_size=N_TASKS, n_queries=None, normalize_y=False)
    groups = np.repeat(range(N_TASKS), 2 * N_SHOTS)
    learner.fit(X.reshape(-1, X.shape[2]), y.ravel(), groups=groups)
    X, y = tasks(N_TEST, 12, seed + 1000)
    F = learner.transform(X.reshape(-1, X.shape[2])).reshape(*X.shape[:2], -1)
    F = np.concatenate([F, np.ones_like(F[..., :1])], axis=2)
    support, query = F[:, :N_SHOTS], F[:, N_SHOTS:]
    w = np.append(head.numpy(), 0.0)[:, None]
    step = np.linalg.pinv(support) @ (y[:, :N_SHOTS, None] - support @ w)
    return query @ (w + step)


@cache
def multi_task(depth, seed, tasks=drawn):
    learner = skmeta.MultiHeadRegressor(head=Ridge())  # which is not used, only the features are
    return predictions(learner, depth, seed, tasks)


def distance(depth, inner_lr, n_inner_steps=1):
    values = []
    for seed in range(2):
        anil = skmeta.ANILRegressor(n_shots=N_SHOTS, inner_lr=inner_lr, n_inner_steps=n_inner_steps)
        gap = predictions(anil, depth, seed) - multi_task(depth, seed)
        values.append(np.sqrt(np.mean(gap**2)))
    return np.exp(np.mean(np.log(values)))


# %%
# New countries
# -------------
# Predictions for seven other surveys of 40 countries, in standard deviations of all life
# expectancies: what the two learners say differs far less than countries do.

anil = skmeta.ANILRegressor(n_shots=N_SHOTS, inner_lr=0.01)
both = predictions(anil, 2, 0, countries).ravel(), multi_task(2, 0, countries).ravel()
apart = np.sqrt(np.mean((both[0] - both[1]) ** 2))

figure, ax = plt.subplots(figsize=(4.2, 4), layout="constrained")
ax.axline((0, 0), slope=1, color="0.7", zorder=0)
ax.plot(*both, ".", alpha=0.6)
ax.set(xlabel="ANIL", ylabel="multi-task training", title=f"{apart:.3f} apart")
plt.show()

# %%
# Depth, and inner rate times steps
# ---------------------------------
# The distance falls with depth, first as 1/L: heads are one of L + 1 layers, and only they are
# trained otherwise. What λ and τ do depends on their product alone, and is not monotone: with
# small steps ANIL's heads become heads of tasks, like those of multi-task training, and the
# distance falls; large ones drive the two apart.

depths = [1, 2, 4]
by_depth = [distance(L, 0.01) for L in depths]
rates = [(0.16, 1), (0.04, 4), (0.16, 16)]
by_rate = [distance(2, *rate) for rate in rates]

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
left.loglog(depths, by_depth, "o-", label="ANIL to multi-task")
left.loglog(depths, by_depth[0] / np.array(depths), "k--", label="1/L")
left.set_xticks(depths, map(str, depths))
left.minorticks_off()
left.set(xlabel="depth L", ylabel="distance of predictions", title="λτ = 0.01")
left.legend()
right.semilogx(0.01, by_depth[1], "o", color="C0")
right.semilogx([rate * steps for rate, steps in rates], by_rate, "o", color="C0")
right.set(xlabel="inner rate times steps, λτ", ylim=(0, 1.3 * max(by_rate)), title="L = 2")
plt.show()

for L, value in zip(depths, by_depth, strict=True):
    print(f"depth {L}: {value:.3f}")
for (rate, steps), value in zip(rates, by_rate, strict=True):
    print(f"rate {rate}, {steps} step(s): {value:.3f}")
