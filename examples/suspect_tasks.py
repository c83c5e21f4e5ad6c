"""
Which tasks are trouble?
========================

Cars and wind say a good deal about how much nitrogen oxide hangs over a motorway, a little
differently each day. Suppose the instrument was broken on one day in seven, and returned anything
between its lowest and its highest reading: what does it do to a model, and how are the days found?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.preprocessing import StandardScaler

import skmeta

data = skmeta.load_collection("nox")  # 338 days of about 24 hourly readings
X, y, day = StandardScaler().fit_transform(data.data), data.target.copy(), data.groups
rng = np.random.default_rng(0)
days = np.unique(day)
broken = rng.choice(days, len(days) // 7, replace=False)
wrong = np.isin(day, broken)
y[wrong] = rng.uniform(y.min(), y.max(), wrong.sum())

# %%
# ``HeTRoM`` goes around any learner that trains a network on tasks. In each meta-update it ranks
# the tasks by their loss; those that stand out do not count. Which they were, most of the time, it
# says in ``suspect_tasks_``.

learner = skmeta.RidgeHeadRegressor(max_iter=200, random_state=0)
model = skmeta.HeTRoM(learner, guidance="lognormal", drop_hardest=0.1)
model.fit(X, y, groups=day)
skmeta.HeTRoMDisplay.from_estimator(model)
plt.show()

# %%
# Left: the losses of the days, with those dropped in red. Right: days of a high loss were rarely
# kept. Because the damage was done here, it is known which days are truly wrong:

suspects = model.suspect_tasks_["task"]
found = np.isin(suspects, broken)
print(f"{len(broken)} broken days, {len(suspects)} suspected, {found.sum()} of them rightly")
print(model.suspect_tasks_[:5])

# %%
# Two suspects and two other days, reading by reading. In your own data nobody says which are truly
# wrong: the list says where to look first, and a suspect may be wrong or merely unlike the others.

inconspicuous = np.setdiff1d(days, suspects)
figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained", sharey=True)
for axis, label in zip(axes, [*suspects[:2], *inconspicuous[:2]], strict=True):
    rows = day == label
    axis.scatter(X[rows, 0], y[rows], color="C3" if label in suspects else "C0")
    axis.set(title=f"day {label}", xlabel="traffic emission (scaled)")
axes[0].set_ylabel("log of nitrogen oxide")
plt.show()

# %%
# Finding them is one thing; whether leaving them out makes predictions better depends on the
# learner and on what is wrong, and where nothing is wrong it may do harm. The page on
# contaminated collections has it in numbers.
