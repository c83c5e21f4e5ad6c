"""
How many rows does a new task need?
===================================

Asked which of two trains they would take, 235 travellers made 5 to 19 choices each, between a
cheaper and a faster one for instance. After how many choices of a new traveller is it known what
that traveller goes by?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta

data = skmeta.load_collection("train_choice")
traveller, n_choices = np.unique(data.groups, return_counts=True)
asked = np.isin(data.groups, traveller[n_choices >= 10])  # some to know, some to be asked for
X, y, groups = data.data[asked], data.target[asked], data.groups[asked]
print(skmeta.describe_tasks(X, y, groups=groups))

# %%
# Whole travellers are held out. Of each, 1 to 8 choices are known (the *shots*), and always the
# same other ones are predicted. Three models use the known ones differently: as a few more rows of
# one model for everybody; to say how often this traveller takes the first train, whatever it
# offers; and to say how much this traveller minds the price, the time, changes and comfort.
#
# The score of each traveller counts once; bands are 95 % intervals over travellers.

learners = {
    "one model for all": make_pipeline(StandardScaler(), LogisticRegression()),
    "mixed effects, level only": skmeta.EmpiricalBayesClassifier("intercept"),
    "mixed effects": skmeta.EmpiricalBayesClassifier(),
}
curves = {
    name: skmeta.adaptation_curve(
        learner, X, y, groups=groups, shots=(1, 2, 3, 5, 8), random_state=0
    )
    for name, learner in learners.items()
}
_, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
skmeta.AdaptationCurveDisplay.from_curves(curves, ax=axis, score_name="Accuracy")
axis.set_title("The next choice of a traveller never seen")
plt.show()

# %%
# The model for all is flat: a few rows more among two thousand change nothing. A level of the
# traveller's own is no use either: nobody prefers first trains as such. What differs is what an
# hour or a change is worth, and each known choice says more about that. The curve still rises at
# eight, so more choices than that would pay.
#
# A mean over travellers hides that some are easier to know than others:

scores = curves["mixed effects"].scores  # a row for each number of shots
better, worse = (scores[-1] > scores[0]).mean(), (scores[-1] < scores[0]).mean()
print(
    f"8 choices known instead of 1: {better:.0%} of travellers predicted better, {worse:.0%} worse"
)
