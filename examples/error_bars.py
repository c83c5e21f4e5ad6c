"""
How sure is it? Error bars for a new task
=========================================

The protein in a cow's milk falls after calving and rises again, on a level and at a pace of the
cow's own. From a few weeks of a new cow, a model with error bars says what the other weeks may be,
and the error bars themselves can be checked.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta

data = skmeta.load_collection("milk")  # 79 cows, 12 to 19 weeks of each
frame = pd.DataFrame(data.data, columns=data.feature_names).assign(cow=data.groups)
y = pd.Series(data.target, name="protein (%)")
held_out = frame["cow"].isin(np.random.default_rng(0).permutation(frame["cow"].unique())[:20])

model = make_pipeline(
    skmeta.Shared(StandardScaler(), task_column="cow"),
    skmeta.EmpiricalBayesRegressor(task_column="cow"),
)
model.fit(frame[~held_out], y[~held_out])

# %%
# One cow that was held out. With one week known, the curve is that of an average cow on another
# level. Further weeks bend it towards the cow's own and narrow the band, up to what a single week
# scatters anyway.

cow = frame["cow"] == frame["cow"][held_out].iloc[0]
weeks = frame[cow].sample(frac=1, random_state=0).index
figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained", sharey=True)
for axis, shots in zip(axes, (1, 4, 8), strict=True):
    known, others = weeks[:shots], weeks[shots:]
    skmeta.PredictionBandDisplay.from_estimator(
        model,
        frame.loc[known],
        y[known],
        "Time",
        X_query=frame.loc[others],
        y_query=y[others],
        ax=axis,
    )
    axis.set(title=f"{shots} weeks known" if shots > 1 else "1 week known", ylabel=y.name)
    if axis is not axes[0]:
        axis.get_legend().remove()
plt.show()

# %%
# Are the bands right? A band of 90 % should hold 90 % of the weeks that it has not seen, over all
# cows held out, whatever the number of weeks known.

levels = np.linspace(0.05, 0.95, 19)
figure, axis = plt.subplots(figsize=(5, 4.5), layout="constrained")
for shots in (1, 4, 8):
    order = frame[held_out].sample(frac=1, random_state=0).groupby("cow").cumcount()
    known, asked = order.index[order < shots], order.index[order >= shots]
    adapted = skmeta.adapt(model, frame.loc[known], y[known])
    mean, std = adapted.predict(frame.loc[asked], return_std=True)
    far = np.abs(y[asked] - mean) / std
    covered = [(far <= norm.ppf(0.5 + level / 2)).mean() for level in levels]
    axis.plot(levels, covered, marker=".", label=f"{shots} known")
axis.plot([0, 1], [0, 1], color="0.6", linestyle=":")
axis.set(
    xlabel="said", ylabel="covered", title="Share of other weeks inside the band", aspect="equal"
)
axis.legend()
plt.show()

# %%
# A curve on the dotted line is honest; below it, bands are too narrow. Which learners can be
# trusted on which collections is measured in the page *Error bars* of the results.
