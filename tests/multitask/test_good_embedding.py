"""Supervised pre-training and self-distillation (RFS)."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from _episodes import ragged, tasks_of
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from torch import nn

import skmeta
from skmeta import GoodEmbeddingClassifier, GoodEmbeddingRegressor, MultiHeadClassifier
from skmeta.inner import cross_entropy
from skmeta.multitask._good_embedding import _MergedClasses
from skmeta.training import MeanOverTasks

SHORT = {"max_iter": 50, "hidden_layer_sizes": (8,), "random_state": 0}


@pytest.fixture(scope="module")
def classes():
    return skmeta.make_classification_tasks(
        60, 20, 10, shared_labels=False, n_classes=10, n_ways=4, random_state=0
    )


@pytest.fixture(scope="module")
def tasks():
    return skmeta.make_linear_tasks(30, 12, 3, noise=0.5, random_state=0)


def some_classes(tasks, names):
    rows = np.isin(tasks.target, np.unique(tasks.target)[names])
    return tasks.data[rows], tasks.target[rows]


@pytest.mark.parametrize("head", [None, LogisticRegression(C=0.1), KNeighborsClassifier(3)])
def test_on_given_features_it_is_a_pipeline_of_scikit_learn(classes, head):
    model = GoodEmbeddingClassifier(head=head, module=nn.Identity, n_way=3, max_iter=2)
    model.fit(classes.data, classes.target)
    X, y = some_classes(classes, [0, 4, 7])
    own = LogisticRegression(C=1, tol=1e-9, max_iter=1000) if head is None else clone(head)
    pipe = make_pipeline(Normalizer(), own).fit(X[:30], y[:30])
    new = model.adapt(X[:30], y[:30])
    np.testing.assert_array_equal(new.predict(X), pipe.predict(X))
    if head is None:
        np.testing.assert_allclose(new.predict_proba(X), pipe.predict_proba(X), rtol=1e-4)


def test_heads_leave_the_features_alone(classes):
    model = GoodEmbeddingClassifier(n_way=3, **SHORT).fit(classes.data, classes.target)
    before = copy.deepcopy(model.net_.module_.state_dict())
    X, y = some_classes(classes, [1, 2, 3])
    new = model.adapt(X, y)
    new.predict(X)
    for name, value in new.net_.module_.state_dict().items():
        assert torch.equal(value, before[name])
    np.testing.assert_array_equal(new.transform(X), model.transform(X))


@pytest.mark.parametrize("normalized", [True, False])
def test_with_a_frozen_body_it_is_multi_task_training(classes, normalized):
    """Both keep nothing but the features and the head."""
    body = nn.Sequential(nn.Linear(10, 6), nn.Tanh()).requires_grad_(False)
    X, y = some_classes(classes, [0, 5, 9])
    shared = {"head": LogisticRegression(), "module": body, "n_way": 3, "max_iter": 3}
    found = [
        learner(normalize_features=normalized, **shared)
        .fit(classes.data, classes.target)
        .adapt(X[:20], y[:20])
        .predict_proba(X)
        for learner in (GoodEmbeddingClassifier, MultiHeadClassifier)
    ]
    np.testing.assert_array_equal(*found)


def test_tasks_play_no_part_in_training(classes):
    """Minibatches are drawn of the merged rows, so how these are cut into tasks is lost."""
    tasks = skmeta.make_classification_tasks(20, 12, 3, random_state=0)
    order = np.lexsort(np.column_stack([tasks.data, tasks.target]).T)
    weights = [
        GoodEmbeddingClassifier(module=nn.Identity, n_queries=15, max_iter=30, random_state=0)
        .fit(tasks.data[order], tasks.target[order], groups=groups)
        .net_.module_.head.weight.detach()
        for groups in (None, tasks.groups[order])
    ]
    # 16 * 15 rows are all of them: nothing is left to chance
    torch.testing.assert_close(*weights, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "model", [GoodEmbeddingClassifier(), MultiHeadClassifier(n_way=4)], ids=["rfs", "multi-head"]
)
def test_all_classes_are_equally_probable_before_training(classes, model):
    model = clone(model).set_params(**SHORT).set_params(max_iter=1)
    model.fit(classes.data, classes.target)
    n_classes = 4 if model.n_way else len(np.unique(classes.target))
    assert model.net_.history[0, "train_loss"] == pytest.approx(np.log(n_classes), rel=1e-6)


def test_it_is_ordinary_training_on_all_rows():
    """With all rows in each minibatch, plain gradient descent on the mean cross-entropy."""
    tasks = skmeta.make_classification_tasks(10, 16, 3, random_state=0)
    model = GoodEmbeddingClassifier(
        module=nn.Identity, n_queries=10, max_iter=1, lr=0.1, optimizer=torch.optim.SGD,
        random_state=0,
    )  # fmt: skip
    start = clone(model).set_params(max_iter=0).fit(tasks.data, tasks.target, groups=tasks.groups)
    model.fit(tasks.data, tasks.target, groups=tasks.groups)
    layer = copy.deepcopy(start.net_.module_.head)
    y = torch.as_tensor(np.searchsorted(model.classes_, tasks.target))
    loss = nn.functional.cross_entropy(layer(torch.as_tensor(tasks.data)), y)
    slope = torch.autograd.grad(loss, layer.weight)[0]
    torch.testing.assert_close(model.net_.module_.head.weight, layer.weight - 0.1 * slope)


def merged(**params):
    torch.manual_seed(0)
    given = {"alpha": 0.0, "beta": 1.0, "temperature": 1.0, **params}
    module = _MergedClasses(nn.Linear(3, 5), 3, 4, unit_norm=True, **given).double()
    nn.init.normal_(module.head.weight)  # equal logits would hide mistakes
    return module


def classes_of_rows():
    episode = ragged(n_outputs=4, classes=True)
    numbers = episode.query_y.argmax(-1, keepdim=True).double()
    return episode.__class__(**{**vars(episode), "query_y": numbers})


def slopes(module, losses):
    return torch.autograd.grad(losses.mean(), list(module.parameters()))


def test_a_student_of_temperature_one_learns_the_soft_labels_of_its_teacher():
    """Up to the teacher's entropy, the divergence is the cross-entropy with what it says."""
    student, teacher, episode = merged(), merged(), classes_of_rows()
    with torch.no_grad():
        teacher.head.weight.mul_(-3.0)
    student.teacher = teacher.forward
    found = slopes(student, student.task_losses(episode, MeanOverTasks(cross_entropy)))
    by_hand = []
    for _, (X, _) in tasks_of(episode):
        soft = teacher.head(teacher.body(X)).softmax(-1).detach()
        logits = student.head(student.body(X))
        by_hand.append(-(soft * logits.log_softmax(-1)).sum(-1).mean())
    torch.testing.assert_close(found, slopes(student, torch.stack(by_hand)))


def test_the_loss_of_a_student_is_that_of_the_paper():
    student, teacher, episode = merged(alpha=0.3, beta=0.6, temperature=4.0), merged(), None
    with torch.no_grad():
        teacher.head.weight.mul_(-3.0)
    student.teacher, episode = teacher.forward, classes_of_rows()
    found = student.task_losses(episode, MeanOverTasks(cross_entropy))
    for loss, (_, (X, y)) in zip(found, tasks_of(episode), strict=True):
        logits = student.head(student.body(X))
        taught = teacher.head(teacher.body(X)) / 4
        true = nn.functional.cross_entropy(logits, y[:, 0].long())
        divergence = nn.functional.kl_div(
            (logits / 4).log_softmax(-1), taught.softmax(-1), reduction="batchmean"
        )
        torch.testing.assert_close(loss, 0.3 * true + 0.6 * 16 * divergence)


def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_it():
    student, episode = merged(temperature=3.0), classes_of_rows()
    student.teacher = copy.deepcopy(student).forward
    losses = student.task_losses(episode, MeanOverTasks(cross_entropy))
    torch.testing.assert_close(losses, torch.zeros_like(losses))
    for slope in slopes(student, losses):
        assert slope.abs().max() < 1e-12


def test_generations_start_anew_and_come_near_their_teacher(classes):
    """With β alone a student ends where the teacher is, though it began elsewhere."""
    params = {**SHORT, "n_way": 3, "max_iter": 600, "lr": 1e-2}
    teacher = GoodEmbeddingClassifier(**params).fit(classes.data, classes.target)
    student = GoodEmbeddingClassifier(n_distillations=1, alpha=0.0, beta=1.0, **params)
    student.fit(classes.data, classes.target)
    X = torch.tensor(classes.data)
    probabilities = []
    for model in (teacher, student):
        module = model.net_.module_
        with torch.no_grad():
            probabilities.append((module.head(module.body(X)) / 4).softmax(-1))
    first, second = probabilities
    assert (first - second).abs().max() > 1e-4
    spread = (first - first.mean(dim=0)).square().mean()
    assert (first - second).square().mean() < 0.05 * spread
    assert student.net_.module_.teacher is None
    assert student.n_iter_ == 600
    assert len(pickle.dumps(student)) < 1.5 * len(pickle.dumps(teacher))


def test_the_features_tell_new_classes_apart():
    """Of 20 classes in 2 of 10 dimensions, 12 are trained on; over seeds, against raw features."""
    found, raw = [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        centers, mix = 3 * rng.normal(size=(20, 2)), rng.normal(size=(10, 10))
        y = np.repeat(np.arange(20), 40)
        X = rng.normal(scale=np.repeat([0.3, 2.0], [2, 8]), size=(800, 10))
        X[:, :2] += centers[y]
        X = (X @ mix) / (X @ mix).std(axis=0)
        base = y < 12
        model = GoodEmbeddingClassifier(n_way=5, max_iter=300, lr=5e-3, random_state=seed)
        model.fit(X[base], y[base])
        support = ~base & (np.arange(800) % 40 < 3)
        query = ~base & ~support
        found.append(model.adapt(X[support], y[support]).score(X[query], y[query]))
        own = make_pipeline(Normalizer(), LogisticRegression(max_iter=1000))
        raw.append(own.fit(X[support], y[support]).score(X[query], y[query]))
    assert np.mean(found) > np.mean(raw) + 0.12


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_the_regressor_is_pooled_regression_with_an_offset_for_each_task(tasks, n_outputs):
    """On given features: least squares with indicators of the tasks, then heads."""
    rng = np.random.default_rng(0)
    level = 5 * rng.normal(size=(30, n_outputs))[tasks.groups]
    y = np.squeeze(level + tasks.data @ rng.normal(size=(3, n_outputs)))
    model = GoodEmbeddingRegressor(
        module=nn.Identity, normalize_y=False, max_iter=1500, lr=5e-2, n_queries=None,
        meta_batch_size=30, random_state=0, head=Ridge(0.1),
    ).fit(tasks.data, y, groups=tasks.groups)  # fmt: skip
    pooled = model.net_.module_
    indicators = np.eye(30)[tasks.groups]
    design = np.column_stack([tasks.data, indicators])
    expected = LinearRegression(fit_intercept=False).fit(design, y)
    slope = pooled.head.weight.detach().numpy()
    np.testing.assert_allclose(slope, np.atleast_2d(expected.coef_)[:, :3], rtol=1e-2, atol=1e-2)
    new = model.adapt(tasks.data[:6], y[:6])
    own = Ridge(0.1).fit(tasks.data[:6], y[:6])
    np.testing.assert_allclose(new.predict(tasks.data), own.predict(tasks.data), rtol=1e-6)


def test_features_of_a_shared_function_help_new_tasks():
    """Tasks that share a nonlinear function up to level and slope, over seeds."""
    errors, alone = [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        task = np.repeat(np.arange(60), 20)
        X = rng.uniform(-2, 2, size=(1200, 1))
        slope, level = rng.uniform(0.5, 2, size=60)[task], rng.normal(size=60)[task]
        y = level + slope * np.sin(2 * X[:, 0])
        train = task < 40
        support = ~train & (np.arange(1200) % 20 < 5)
        query = ~train & ~support
        model = GoodEmbeddingRegressor(head=Ridge(0.1), max_iter=600, lr=5e-3, random_state=seed)
        model.fit(X[train], y[train], groups=task[train])
        new = model.adapt(X[support], y[support], groups=task[support])
        predicted = new.predict(X[query], groups=task[query])
        errors.append(np.mean((predicted - y[query]) ** 2))
        for name in range(40, 60):
            mine = task == name
            own = Ridge(0.1).fit(X[support & mine], y[support & mine])
            alone.append(np.mean((own.predict(X[query & mine]) - y[query & mine]) ** 2))
    assert np.mean(errors) < 0.25 * np.mean(alone)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_distillations": -1},
        {"alpha": -1.0},
        {"beta": -0.1},
        {"temperature": 0.0},
        {"n_queries": 0},
    ],
)
def test_wrong_parameters_are_named(classes, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GoodEmbeddingClassifier(n_way=3, **wrong).fit(classes.data, classes.target)
