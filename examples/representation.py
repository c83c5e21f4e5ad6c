"""
A learned representation inside a pipeline
==========================================

A meta-learner with a network is also a transformer: ``transform`` gives the features that it
learned, good for classes it has never seen, and any estimator of scikit-learn can go on from there.
The classes are plant species, described by 50 measures of a leaf.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import skmeta

data = skmeta.load_collection("leaf_id_flavia")
species = np.array(data.target_names)[data.target]
names = np.random.default_rng(0).permutation(data.target_names)
new = np.isin(species, names[:8])  # kept aside
X, y = data.data[~new], species[~new]
print(f"{len(names) - 8} species to learn from ({len(X)} leaves), 8 new ones ({new.sum()})")

# %%
# ``n_way`` draws episodes of some of the species. After scaling, the network learns features in
# which five leaves of a species are enough for a ridge fit.

features = make_pipeline(
    StandardScaler(),
    skmeta.RidgeHeadClassifier(n_way=8, n_shots=5, max_iter=200, random_state=0),
)
features.fit(X, y)

# %%
# The leaves of the eight new species, in the plane of their two main directions: as measured, and
# in the learned features. Nothing was fitted to them but the plane.

scaled = features[0].transform(data.data[new])
learned = features.transform(data.data[new])
figure, axes = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
for axis, values, title in zip(axes, (scaled, learned), ("as measured", "learned"), strict=True):
    plane = PCA(2).fit_transform(values)
    for name in names[:8]:
        axis.scatter(*plane[species[new] == name].T, s=12, label=name.replace("_", " "))
    axis.set(title=f"New species, {title}", xticks=[], yticks=[])
axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
plt.show()

# %%
# Heads of other kinds on the same features. ``FrozenEstimator`` keeps what was learned, so that
# cross-validation fits the head alone: to five leaves of each new species.

cv = StratifiedShuffleSplit(20, train_size=8 * 5, random_state=0)
for head in (KNeighborsClassifier(1), SVC(C=10)):
    for title, steps in {
        "measured": StandardScaler(),
        "learned": FrozenEstimator(features),
    }.items():
        scores = cross_val_score(make_pipeline(steps, head), data.data[new], species[new], cv=cv)
        print(f"{head!r:<40}{title:<10}{scores.mean():.3f}")
