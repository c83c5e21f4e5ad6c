"""
Letters never seen, from one drawing each
=========================================

A classifier that knows the letters of two scripts is shown one drawing of each of twenty letters of
other scripts, Georgian for instance, and is to read more of them. It was never trained on any of
these twenty, and is not trained now: it puts each drawing beside the one it has of each letter.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.neighbors import KNeighborsClassifier

import skmeta

train = skmeta.load_glyphs("train")  # 751 Latin and Greek letters, 8 to 16 faces of each
new = skmeta.load_glyphs("test")  # 184 letters of Armenian, Georgian and Lao
print(f"{len(train.data)} drawings to learn from, {len(new.data)} of letters never seen")

# %%
# ``n_way=5`` makes ``fit`` draw episodes: five letters, one drawing of each known, others asked
# for. So the network learns *how to tell letters apart*, not which letters there are.

model = skmeta.PrototypicalClassifier(n_way=5, n_shots=1, max_iter=120, random_state=0)
model.fit(train.data, train.target)

rng = np.random.default_rng(0)


def episode(n_ways: int, n_shots: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw letters, and return the rows known and the rows asked for."""
    letters = rng.choice(new.target_names, n_ways, replace=False)
    rows = np.stack([rng.permutation(np.flatnonzero(new.target == name))[:8] for name in letters])
    return rows[:, :n_shots].ravel(), rows[:, n_shots:].ravel()


known, asked = episode(5, 1)
adapted = model.adapt(new.data[known], new.target[known])
shown = asked.reshape(5, -1)[:, :5]
figure, axes = plt.subplots(5, 6, figsize=(6, 5.5), layout="constrained")
for line, first, others in zip(axes, known, shown, strict=True):
    for axis, row in zip(line, [first, *others], strict=True):
        axis.imshow(new.data[row].reshape(new.images_shape), cmap="gray_r")
        axis.set(xticks=[], yticks=[])
        answer = adapted.predict(new.data[[row]])[0]
        for side in axis.spines.values():
            right = answer == new.target[row]
            side.set(color="C2" if right else "C3", linewidth=3 if row != first else 0)
axes[0, 0].set_title("known")
axes[0, 3].set_title("read: right (green) or wrong (red)")
plt.show()

# %%
# Twenty letters at a time, against the most similar known drawing, pixel by pixel. Learned features
# are worth several drawings: compare one drawing there with five here.


def accuracy(n_shots: int) -> tuple[float, float]:
    scores = []
    for _ in range(10):
        known, asked = episode(20, n_shots)
        X, y = new.data[known], new.target[known].astype(str)
        pixels = KNeighborsClassifier(1).fit(X, y)
        scores.append(
            [
                m.score(new.data[asked], new.target[asked].astype(str))
                for m in (pixels, model.adapt(X, y))
            ]
        )
    return tuple(np.mean(scores, axis=0))


shots = (1, 2, 5)
pixels, learned = zip(*map(accuracy, shots), strict=True)
figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
axis.plot(shots, pixels, marker="o", label="nearest drawing, pixel by pixel")
axis.plot(shots, learned, marker="o", label="PrototypicalClassifier")
axis.axhline(1 / 20, color="0.6", linestyle=":", label="chance")
axis.set(
    xlabel="drawings known of each letter", ylabel="accuracy, 20 letters", ylim=(0, 1), xticks=shots
)
axis.legend()
plt.show()
