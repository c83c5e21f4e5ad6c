"""
Grid search over episodes
=========================

Parameters of a meta-learner are chosen as those of any estimator, by ``GridSearchCV``; what differs
is the splitter. ``EpisodicKFold`` holds out whole tasks and gives a few of their rows to the
training part: what is measured is how well the model predicts a *new* task from five rows. The
tasks are 550 school districts, the target the share of pupils who pass in mathematics, year by
year.
"""

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta

data = skmeta.load_collection("mathpnl")
frame = pd.DataFrame(data.data, columns=data.feature_names).assign(district=data.groups)
y = pd.Series(data.target, name="pass rate (%)")
few = frame["district"].isin(frame["district"].unique()[:120])
frame, y = frame[few], y[few]

# %%
# The district travels as a column of X, so that it passes through the pipeline and every tool:
# ``Shared`` scales the other columns and leaves it alone.

pipeline = make_pipeline(
    skmeta.Shared(StandardScaler(), task_column="district"),
    skmeta.MultiHeadRegressor(task_column="district", random_state=0),
)
grid = {
    "multiheadregressor__max_iter": [5, 20, 80],
    "multiheadregressor__hidden_layer_sizes": [(8,), (32, 32)],
}
search = GridSearchCV(
    pipeline,
    grid,
    cv=skmeta.EpisodicKFold(3, n_shots=5, task_column="district", random_state=0),
    scoring="neg_root_mean_squared_error",
)
search.fit(frame, y)
print(search.best_params_)

# %%
# The error on districts never seen, five years of each known:

results = pd.DataFrame(search.cv_results_)
figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
for width, part in results.groupby("param_multiheadregressor__hidden_layer_sizes", sort=False):
    axis.errorbar(
        part["param_multiheadregressor__max_iter"].astype(int),
        -part["mean_test_score"],
        part["std_test_score"] / 3**0.5,
        marker="o",
        capsize=3,
        label=f"layers {width}",
    )
axis.set_xscale("log")
axis.set_xticks(grid["multiheadregressor__max_iter"], grid["multiheadregressor__max_iter"])
axis.minorticks_off()
axis.set(
    xlabel="meta-updates (max_iter)",
    ylabel="error of the pass rate (points)",
    title="New districts, five years known",
)
axis.legend()
plt.show()

# %%
# What was found is used like any model. Five years of a new district, and the others predicted:

new = frame["district"] == frame["district"].iloc[0]
adapted = skmeta.adapt(search, frame[new][:5], y[new][:5])
print(adapted.predict(frame[new][5:]), y[new][5:].to_numpy())
