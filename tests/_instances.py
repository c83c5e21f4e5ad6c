"""Cheap instances of every public estimator, which the batteries run over."""

from sklearn.linear_model import TweedieRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skmeta import EmpiricalBayesClassifier, EmpiricalBayesRegressor

_TREE = {"max_depth": 2, "random_state": 0}

INSTANCES = [
    EmpiricalBayesRegressor(),
    EmpiricalBayesRegressor("diagonal"),
    EmpiricalBayesRegressor("intercept"),
    EmpiricalBayesRegressor(offset=DecisionTreeRegressor(**_TREE)),
    EmpiricalBayesRegressor(offset=TweedieRegressor(max_iter=1000)),  # of one output
    EmpiricalBayesClassifier(),
    EmpiricalBayesClassifier("diagonal"),
    EmpiricalBayesClassifier("intercept"),
    EmpiricalBayesClassifier(offset=DecisionTreeClassifier(**_TREE)),
]
"""What scikit-learn's battery and our own run over: each class, and each way it works."""

DRAWN_TASKS = [EmpiricalBayesClassifier(n_way=2, n_shots=2, random_state=0)]
"""Classifiers that draw tasks out of the classes of y; our battery runs over them too."""
