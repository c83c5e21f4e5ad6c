"""Any learner, trained on the tasks that are worth it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from _deep import weights
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmeta
from skmeta import (
    BayesianHeadRegressor,
    ConditionalNeuralProcessRegressor,
    DeepKernelClassifier,
    DeepKernelRegressor,
    EpisodicKFold,
    HeTRoM,
    MAMLClassifier,
    MAMLRegressor,
    MultiHeadRegressor,
    PrototypicalClassifier,
    ReptileRegressor,
    RidgeHeadRegressor,
)
from skmeta.inner import Episode, normal_surprise
from skmeta.robust._constant_losses import constant_losses
from skmeta.robust._hetrom import _GUIDANCE

SHORT = {"hidden_layer_sizes": (8,), "max_iter": 12, "meta_batch_size": 5, "random_state": 0}
REGRESSORS = [
    MAMLRegressor(n_shots=3, **SHORT),
    ReptileRegressor(n_shots=3, **SHORT),
    RidgeHeadRegressor(n_shots=3, **SHORT),
    BayesianHeadRegressor(n_shots=3, **SHORT),
    MultiHeadRegressor(**SHORT),
]
REGRESSOR = pytest.mark.parametrize("learner", REGRESSORS, ids=lambda x: type(x).__name__)
NONE_DROPPED = [
    {"drop_hardest": 0.0},
    {"drop_hardest": 0.0, "buffer_size": 10},
    {"drop_hardest": 0.0, "guidance": "lognormal"},
    {"drop_hardest": 0.0, "guidance": "streaming"},
    {"guidance": "worst_case", "guidance_lr": 0.0},
    {"drop_hardest": 0.4, "warm_up": 1.0},
]


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(20, 10, 3, noise=0.2, random_state=0)


def fitted(model, tasks):
    return clone(model).fit(tasks.data, tasks.target, groups=tasks.groups)


@REGRESSOR
@pytest.mark.parametrize("params", NONE_DROPPED, ids=str)
def test_with_nothing_dropped_it_is_the_learner_to_the_bit(learner, params, tasks):
    model = fitted(HeTRoM(learner, **{"warm_up": 0.0, **params}), tasks)
    plain = fitted(learner, tasks)
    assert torch.equal(weights(model), weights(plain))
    rows = tasks.data, tasks.groups
    np.testing.assert_array_equal(model.predict(*rows), plain.predict(*rows))


@REGRESSOR
def test_dropping_changes_the_learner(learner, tasks):
    assert not torch.equal(weights(fitted(HeTRoM(learner), tasks)), weights(fitted(learner, tasks)))


@REGRESSOR
@pytest.mark.parametrize("guidance", [None, "lognormal"])
def test_two_passes_train_as_one_does(learner, guidance, tasks):
    one = HeTRoM(learner, drop_hardest=0.4, guidance=guidance, two_passes=False)
    two = HeTRoM(learner, drop_hardest=0.4, guidance=guidance, two_passes=True)
    torch.testing.assert_close(
        weights(fitted(two, tasks)), weights(fitted(one, tasks)), rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("chunk_size", [1, 2, 4])
def test_chunks_are_ranked_together(chunk_size, tasks):
    learner = REGRESSORS[0]
    whole = HeTRoM(learner, drop_hardest=0.4)
    chunked = HeTRoM(clone(learner).set_params(chunk_size=chunk_size), drop_hardest=0.4)
    torch.testing.assert_close(
        weights(fitted(chunked, tasks)), weights(fitted(whole, tasks)), rtol=1e-8, atol=1e-10
    )


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("guidance", [None, "lognormal", "streaming", "worst_case"])
def test_compiled_training_selects_the_same(guidance, tasks):
    learner = REGRESSORS[0]
    plain = fitted(HeTRoM(learner, drop_hardest=0.4, guidance=guidance), tasks)
    traced = HeTRoM(clone(learner).set_params(compile=True), drop_hardest=0.4, guidance=guidance)
    traced = fitted(traced, tasks)
    torch.testing.assert_close(weights(traced), weights(plain), rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(traced.task_selection_, plain.task_selection_)


def test_the_order_of_rows_and_the_names_of_tasks_do_not_matter(tasks):
    model = HeTRoM(REGRESSORS[0])
    order = np.random.default_rng(0).permutation(len(tasks.data))
    one = fitted(model, tasks)
    names = np.array([f"task {chr(122 - g)}" for g in range(20)])
    other = clone(model).fit(
        tasks.data[order], tasks.target[order], groups=names[tasks.groups][order]
    )
    assert torch.equal(weights(one), weights(other))
    np.testing.assert_array_equal(one.task_losses_, other.task_losses_)


def contaminated(seed, scale=5.0, n_tasks=60):
    """Return sinusoids, of which the first fifth has noise for labels."""
    tasks = skmeta.make_sinusoid_tasks(n_tasks, 20, random_state=seed)
    y, odd = tasks.target.copy(), tasks.groups < n_tasks // 5
    y[odd] = np.random.default_rng(seed).normal(scale=scale, size=odd.sum())
    return tasks, y, np.arange(n_tasks) < n_tasks // 5


def error_on_new_tasks(model):
    new = skmeta.make_sinusoid_tasks(50, 30, random_state=100)
    support = np.tile(np.arange(30) < 10, 50)
    adapted = model.adapt(new.data[support], new.target[support], groups=new.groups[support])
    predicted = adapted.predict(new.data[~support], groups=new.groups[~support])
    return np.square(new.target[~support] - predicted).mean()


def sinusoid_learner(seed):
    return RidgeHeadRegressor(n_shots=10, max_iter=400, meta_batch_size=20, random_state=seed)


@pytest.fixture(scope="module")
def plain_errors():
    """Return the errors of the bare learner, trained with noise tasks and with none: by seed."""
    errors = []
    for seed in range(2):
        tasks, y, _ = contaminated(seed)
        fits = (
            sinusoid_learner(seed).fit(tasks.data, targets, groups=tasks.groups)
            for targets in (y, tasks.target)
        )
        errors.append([error_on_new_tasks(model) for model in fits])
    return np.array(errors)


@pytest.mark.parametrize(
    "params",
    [
        {"drop_hardest": 0.28},
        {"guidance": "lognormal"},
        {"guidance": "streaming", "drop_hardest": 0.28},
    ],
    ids=str,
)
def test_noise_tasks_are_found_and_do_no_harm(params, plain_errors):
    errors = []
    for seed in range(2):
        tasks, y, odd = contaminated(seed)
        model = HeTRoM(sinusoid_learner(seed), **params)
        robust = clone(model).fit(tasks.data, y, groups=tasks.groups)
        clean = clone(model).fit(tasks.data, tasks.target, groups=tasks.groups)
        errors.append([error_on_new_tasks(robust), error_on_new_tasks(clean)])
        place = robust.tasks_.argsort()
        assert roc_auc_score(odd, robust.task_losses_[place]) >= 0.95
        suspects = robust.suspect_tasks_
        assert set(np.flatnonzero(odd)) <= set(suspects["task"])
        assert len(suspects) <= 20
        assert (suspects["reason"][:12] == "hard").all()
    (robust, clean), (plain, unharmed) = np.mean(errors, axis=0), plain_errors.mean(axis=0)
    assert robust < 0.5 * plain
    # What noise tasks cost it, beside what they cost the bare learner.
    assert robust - clean < 0.1 * (plain - unharmed)


def test_what_is_learned_after_training_is_learned_from_tasks_that_counted():
    tasks, y, _ = contaminated(0)
    learner = MultiHeadRegressor(max_iter=300, meta_batch_size=20, random_state=0)
    robust = HeTRoM(learner, drop_hardest=0.28).fit(tasks.data, y, groups=tasks.groups)
    plain = clone(learner).fit(tasks.data, y, groups=tasks.groups)
    noise = [model.bayes_head_.priors[0].noise for model in (robust, plain)]
    assert noise[0] < 0.1 * noise[1]


def test_easy_tasks_are_named_easy():
    tasks = skmeta.make_linear_tasks(40, 20, 3, noise=1.0, random_state=0)
    y, dull = tasks.target.copy(), tasks.groups < 8
    y[dull] = 0.01 * tasks.data[dull, 0]
    learner = RidgeHeadRegressor(max_iter=300, meta_batch_size=20, lr=1e-2, random_state=0)
    model = HeTRoM(learner, drop_hardest=0, drop_easiest=0.2).fit(tasks.data, y, tasks.groups)
    easy = model.suspect_tasks_[model.suspect_tasks_["reason"] == "easy"]
    assert set(easy["task"]) == set(range(8))


def test_noise_of_a_small_scale_is_hard_where_losses_are_relative():
    tasks = skmeta.make_linear_tasks(40, 20, 3, noise=0.5, random_state=0)
    y, noise = tasks.target.copy(), tasks.groups < 8
    y[noise] = np.random.default_rng(0).normal(scale=0.1, size=noise.sum())
    learner = RidgeHeadRegressor(max_iter=100, meta_batch_size=20, lr=1e-2, random_state=0)
    model = HeTRoM(learner, rank_by="relative").fit(tasks.data, y, tasks.groups)
    suspects = model.suspect_tasks_
    assert set(suspects["task"]) >= set(range(8))
    assert (suspects["reason"] == "hard").all()
    small = np.isin(suspects["task"], range(8))
    assert (suspects["loss"][small] < np.median(model.task_losses_)).all()


def test_a_worst_case_suspects_nobody(tasks):
    model = HeTRoM(REGRESSORS[2], guidance="worst_case", guidance_lr=1.0, warm_up=0.0)
    model = fitted(model, tasks)
    assert np.nanmin(model.task_selection_) == 0
    assert len(model.suspect_tasks_) == 0


def test_ranks_are_known_where_they_are_what_counts(tasks):
    model = fitted(HeTRoM(REGRESSORS[2]), tasks)
    assert (model.m_, model.k_) == (1, 5)
    for params in ({"buffer_size": 5}, *({"guidance": name} for name in _GUIDANCE[1:])):
        other = clone(model).set_params(**params)
        other = model.set_params(**other.get_params(deep=False)).fit(
            tasks.data, tasks.target, tasks.groups
        )
        assert not hasattr(other, "m_")
        assert not hasattr(other, "k_")


def test_what_is_known_of_the_training(tasks):
    model = fitted(HeTRoM(REGRESSORS[2], drop_hardest=0.4, drop_easiest=0.2, warm_up=0.5), tasks)
    assert (model.m_, model.k_) == (2, 4)
    assert model.task_losses_.shape == (20,)
    assert model.task_selection_.shape == (12, 20)
    early, late = model.task_selection_[:6], model.task_selection_[6:]
    assert np.nanmean(early) == 1
    assert np.nansum(late, axis=1).tolist() == [2] * 6
    assert (~np.isnan(model.task_selection_)).sum(axis=1).tolist() == [5] * 12
    assert (model.thresholds_[:, 0] < model.thresholds_[:, 1]).all()


def test_small_tasks_have_no_loss(tasks):
    rows = np.flatnonzero((tasks.groups > 0) | (np.arange(len(tasks.groups)) < 2))
    model = clone(HeTRoM(REGRESSORS[2]))
    model.fit(tasks.data[rows], tasks.target[rows], groups=tasks.groups[rows])
    assert model.tasks_[np.isnan(model.task_losses_)].tolist() == [0]


def test_a_scale_of_their_own_makes_tasks_hard_unless_losses_are_relative(tasks):
    y = tasks.target * np.where(tasks.groups < 4, 10.0, 1.0)
    learner = RidgeHeadRegressor(max_iter=200, meta_batch_size=20, random_state=0)

    def suspects(rank_by):
        model = HeTRoM(learner, rank_by=rank_by).fit(tasks.data, y, groups=tasks.groups)
        return set(model.suspect_tasks_["task"])

    assert suspects("loss") == {0, 1, 2, 3}
    assert suspects("relative") != {0, 1, 2, 3}


@pytest.mark.parametrize(
    "learner",
    [
        BayesianHeadRegressor(n_shots=3, **SHORT),
        DeepKernelRegressor(n_shots=3, **SHORT),
        RidgeHeadRegressor(n_shots=3, **SHORT),
    ],
    ids=lambda x: type(x).__name__,
)
def test_a_target_told_twice_ranks_as_once(learner):
    tasks = skmeta.make_linear_tasks(20, 10, 3, noise=0.2, random_state=0)
    y = tasks.target * np.geomspace(0.3, 3, 20)[tasks.groups]
    orders, body = [], None
    for n_columns in (1, 2, 3):
        columns = np.column_stack([y] * n_columns)
        model = HeTRoM(learner, rank_by="relative")
        model.set_params(estimator__max_iter=0, estimator__normalize_y=False)
        rule = model.fit(tasks.data, columns, tasks.groups).net_.module_
        body = body or rule.body.state_dict()
        rule.body.load_state_dict(body)
        X, Y = (torch.as_tensor(part).view(20, 10, -1) for part in (tasks.data, columns))
        ones, order = torch.ones(20, 5).to(X), torch.from_numpy(model.tasks_.argsort())
        episode = Episode(X[:, :5], Y[:, :5], ones, X[:, 5:], Y[:, 5:], ones, order)
        objective = model.net_.criterion_
        with torch.no_grad():
            losses = rule.task_losses(episode, objective)
        orders.append(objective.score(losses, order).argsort().tolist())
    assert orders[0] == orders[1] == orders[2] != losses.argsort().tolist()


@pytest.mark.parametrize(
    "learner",
    [
        BayesianHeadRegressor(**SHORT),
        ConditionalNeuralProcessRegressor(**SHORT),
        DeepKernelRegressor(**SHORT),
    ],
    ids=lambda x: type(x).__name__,
)
def test_relative_likelihoods_do_not_see_units(learner):
    """A normal density in other units is another density, by as much as the best constant's."""
    tasks = skmeta.make_linear_tasks(6, 40, 2, random_state=0)
    y = np.column_stack([tasks.target, tasks.data[:, 0] + tasks.target])
    units = np.array([10.0, 0.2])
    y = np.where((tasks.groups < 3)[:, None], y, y * units)
    model = clone(learner).set_params(max_iter=0, normalize_y=False)
    model.fit(tasks.data, y, tasks.groups)
    found = constant_losses(model, model._support)[model.tasks_.argsort()]
    centred = y.reshape(6, 40, 2) - y.reshape(6, 40, 2).mean(axis=1, keepdims=True)
    deviation = torch.from_numpy(centred.std(axis=1))
    if isinstance(learner, DeepKernelRegressor):  # which has one variance for all outputs
        expected = deviation.log().mean(dim=1)
    else:
        rows = torch.from_numpy(centred)
        variance = deviation.square()[:, None].expand_as(rows)
        expected = normal_surprise(torch.zeros_like(rows), variance, rows).mean(dim=1)
    difference = torch.from_numpy(found) - expected
    torch.testing.assert_close(difference, difference[:1].expand(6))


def test_an_entropy_is_that_of_the_machines_that_tell_each_class_from_the_rest():
    groups, rows = np.repeat([0, 1, 2, 3], 40), np.random.default_rng(0).normal(size=(160, 2))
    y = np.concatenate(
        [np.arange(40) % 2, np.arange(40) % 4 == 0, np.arange(40) % 4, np.zeros(40)]
    ).astype(int)
    model = DeepKernelClassifier(max_iter=0, hidden_layer_sizes=(4,)).fit(rows, y, groups)
    half, quarter = np.log(2), 2 * np.log(2) - 0.75 * np.log(3)
    found = constant_losses(model, model._support)[model.tasks_.argsort()]
    np.testing.assert_allclose(found, [half / 2, quarter / 2, quarter, 0], atol=1e-12)


def test_it_keeps_what_the_learner_can_do(tasks):
    model = fitted(HeTRoM(REGRESSORS[3]), tasks)
    assert is_regressor(model)
    assert not is_classifier(model)
    adapted = model.adapt(tasks.data[:5], tasks.target[:5])
    mean, std = adapted.predict(tasks.data[5:9], return_std=True)
    assert (std > 0).all()
    np.testing.assert_array_equal(mean, adapted.predict(tasks.data[5:9]))
    assert model.transform(tasks.data[:3]).shape == (3, 8)
    assert len(model.get_feature_names_out()) == 8
    assert not hasattr(model, "predict_proba")
    again = pickle.loads(pickle.dumps(adapted))
    np.testing.assert_array_equal(again.predict(tasks.data), adapted.predict(tasks.data))
    chosen = skmeta.select_context(model, tasks.data[:10], n_shots=3)
    assert len(chosen) == 3


def test_classifiers_of_drawn_classes():
    tasks = skmeta.make_classification_tasks(1, 200, random_state=0)
    y = tasks.data[:, 0].round().clip(-1, 1).astype(int)
    learner = PrototypicalClassifier(n_way=2, n_shots=2, **SHORT)
    model = HeTRoM(learner, rank_by="relative").fit(tasks.data, y)
    assert is_classifier(model)
    assert model.adapt(tasks.data[:20], y[:20]).predict_proba(tasks.data[:4]).shape[0] == 4
    assert len(model.task_losses_) == 1


def test_it_goes_where_scikit_learns_estimators_go(tasks):
    rows = np.column_stack([tasks.groups, tasks.data])
    learner = MAMLRegressor(n_shots=3, task_column=0, **SHORT)
    search = GridSearchCV(
        make_pipeline(skmeta.Shared(StandardScaler(), task_column=0), HeTRoM(learner)),
        {"hetrom__drop_hardest": [0.0, 0.4], "hetrom__estimator__inner_lr": [0.01, 0.1]},
        cv=EpisodicKFold(2, n_shots=3, task_column=0, random_state=0),
        error_score="raise",
    ).fit(rows, tasks.target)
    assert set(search.best_params_) == {"hetrom__drop_hardest", "hetrom__estimator__inner_lr"}
    assert skmeta.adapt(search, rows[:5], tasks.target[:5]).predict(rows[5:7]).shape == (2,)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"drop_hardest": 1.0}, "drop_hardest"),
        ({"drop_hardest": 0.5, "drop_easiest": 0.5}, "leave no task"),
        ({"guidance": "log"}, "guidance='log' must be one of"),
        ({"rank_by": "variance"}, "rank_by='variance' must be"),
        ({"warm_up": 1.5}, "warm_up"),
        ({"two_passes": "yes"}, "two_passes='yes' must be"),
        ({"estimator": HeTRoM(REGRESSORS[2])}, "has no effect"),
    ],
    ids=str,
)
def test_errors(params, message, tasks):
    model = HeTRoM(REGRESSORS[2]).set_params(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(tasks.data, tasks.target, groups=tasks.groups)
    assert not hasattr(model, "estimator_")


@pytest.mark.parametrize("estimator", [Ridge(), skmeta.EmpiricalBayesRegressor()])
def test_it_needs_a_learner_with_an_outer_loop(estimator, tasks):
    with pytest.raises(TypeError, match="trained on meta-batches"):
        HeTRoM(estimator).fit(tasks.data, tasks.target, groups=tasks.groups)


def test_relative_losses_of_classifiers(tasks):
    y = np.where(tasks.target > np.median(tasks.target), "yes", "no")
    model = HeTRoM(MAMLClassifier(n_shots=3, inner_lr=0.5, **SHORT), rank_by="relative")
    assert len(model.fit(tasks.data, y, groups=tasks.groups).task_losses_) == 20
