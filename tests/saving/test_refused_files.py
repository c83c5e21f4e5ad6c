"""What a file may not do: name other classes, make no sense, be damaged or of the future."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch
from _files import rewritten
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.preprocessing import StandardScaler
from torch import nn

import skmeta
from skmeta import EmpiricalBayesRegressor, RidgeHeadRegressor

_QUICK = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}


def test_names_and_instances_are_not_trusted(fitted, tmp_path):
    path = tmp_path / "estimator.safetensors"
    skmeta.save(fitted, path)
    for trusted in (["Linear"], [nn.Linear(1, 1)]):
        with pytest.raises(TypeError, match=r"takes classes, got .*Linear"):
            skmeta.load(path, trusted=trusted)


@pytest.fixture(scope="module")
def fitted():
    tasks = skmeta.make_linear_tasks(10, 6, random_state=0)
    return EmpiricalBayesRegressor().fit(tasks.data, tasks.target, groups=tasks.groups)


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "posix:system",
        "builtins:eval",
        "builtins:type",
        "subprocess:Popen",
        "functools:partial",
        "numpy:load",
        "numpy.lib.npyio:NpzFile",
        "pickle:Unpickler",
        "skmeta.base._learner:copy",
        "skmeta.base._learner:copy.os.system",
        "skmeta.saving._file:os.system",
        "skmeta.no_such:Thing",
        "skmetaevil:Thing",
        "scipy.interpolate._bsplines:Any",
        "sklearn.feature_selection._univariate_selection:f_classif",
        "sklearn.linear_model._sgd_fast:no_such",
        "sklearn.tree._tree:np",
        "sklearn.utils._bunch:dict",
        "sklearn.pipeline:Parallel",
        "sklearn.svm._base:abstractmethod",
        "torch:load",
        "torch.nn:DataParallel",
        "torch.nn.parallel.distributed:DistributedDataParallel",
        "torch.jit._script:ScriptModule",
        "skorch.net:NeuralNet",
        "test_save_and_load:Body",
        "",
        ":",
        "..:x",
    ],
)
@pytest.mark.parametrize("kind", ["instance", "class", "made"])
def test_a_file_names_no_class_outside_of_the_list(name, kind, fitted, tmp_path, monkeypatch):
    path = tmp_path / "estimator.safetensors"
    skmeta.save(fitted, path)

    def change(text):
        whole = json.loads(text)
        place = whole["root"]["at"]
        whole["table"][place] = {
            "kind": kind,
            "class": name,
            "items": [],
            "arguments": ["true"],
            "state": [],
        }
        return json.dumps(whole)

    rewritten(path, change=change)
    before = set(sys.modules)
    with pytest.raises(
        ValueError, match=r"safetensors cannot be loaded: (it names|.* is not made of)"
    ):
        skmeta.load(path)
    assert all(
        added.startswith(("skmeta", "sklearn", "torch")) for added in set(sys.modules) - before
    )


def test_a_file_names_no_function_but_those_of_the_list(fitted, tmp_path):
    path = tmp_path / "estimator.safetensors"
    for kind, name in [("function", "os:system"), ("ufunc", "load"), ("dtype", "load")]:
        skmeta.save(fitted, path)
        entry = {"kind": kind, "name": name}
        text = json.dumps({"root": {"at": 0}, "table": [entry]})
        rewritten(path, change=lambda _, text=text: text)
        with pytest.raises(ValueError, match=name):
            skmeta.load(path)


def test_bytes_for_skorch_to_unpickle_are_not_unpickled(tmp_path):
    tasks = skmeta.make_linear_tasks(10, 6, random_state=0)
    model = RidgeHeadRegressor(**_QUICK).fit(tasks.data, tasks.target)
    path = tmp_path / "estimator.safetensors"
    skmeta.save(model, path)
    added = '["__cuda_dependent_attributes__","cos\\\\nsystem"],["_modules",'
    rewritten(
        path, change=lambda text: text.replace('["_modules",', added.replace("\\\\", "\\"), 1)
    )
    assert vars(skmeta.load(path).net_)["__cuda_dependent_attributes__"] == "cos\nsystem"


@pytest.mark.parametrize(
    "table",
    [
        [],
        [{}],
        [{"kind": "no such"}],
        [{"kind": "tuple", "items": [{"at": 0}]}],
        [{"kind": "array", "name": "no such"}],
        [{"kind": "dict", "items": [[{"at": 0}, 1]]}],
        [{"kind": "instance", "class": "builtins:object", "items": [["a", 1]]}],
        [{"kind": "instance", "class": "sklearn.tree._tree:Tree", "items": []}],
        [{"kind": "array", "name": "0", "dtype": "|O", "shape": [1]}],
    ],
    ids=str,
)
def test_a_table_without_sense_is_refused(table, fitted, tmp_path):
    path = tmp_path / "estimator.safetensors"
    skmeta.save(fitted, path)
    rewritten(path, change=lambda _: json.dumps({"root": {"at": 0}, "table": table}))
    with pytest.raises(ValueError, match=r"safetensors (is damaged|cannot be loaded)"):
        skmeta.load(path)


def test_damaged_files_are_refused(fitted, tmp_path):
    path = tmp_path / "estimator.safetensors"
    skmeta.save(fitted, path)
    content = path.read_bytes()
    for damaged in (b"", b"text", content[:50], content[:-1], content + b"0"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"estimator\.safetensors is damaged, or no file"):
            skmeta.load(path)
    for position in (len(content) - 5, len(content) // 2):
        flipped = bytearray(content)
        flipped[position] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match="checksum"):
            skmeta.load(path)
    with pytest.raises(FileNotFoundError):
        skmeta.load(tmp_path / "no such file")


def test_tensors_of_others_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file({"weight": np.ones(2)}, path)
    with pytest.raises(ValueError, match=r"no estimator that skmeta\.save wrote"):
        skmeta.load(path)


def test_a_newer_format_is_refused(fitted, tmp_path):
    path = tmp_path / "estimator.safetensors"
    skmeta.save(fitted, path)
    rewritten(path, format="2", skmeta="9.1")
    with pytest.raises(ValueError, match=r"format 2, written by skmeta 9\.1.*up to 1\. Upgrade"):
        skmeta.load(path)


def test_versions_are_recorded(fitted, tmp_path):
    path = tmp_path / "estimator.safetensors"
    skmeta.save(fitted, path)
    with safetensors.safe_open(path, framework="numpy") as file:
        noted = file.metadata()
    assert noted["skmeta"] == skmeta.__version__
    assert noted["torch"] == torch.__version__
    assert {"format", "numpy", "python", "scikit-learn"} < noted.keys()


def test_another_scikit_learn_warns_as_when_unpickling(tmp_path):
    path = tmp_path / "estimator.safetensors"
    skmeta.save(StandardScaler().fit(np.ones((3, 2))), path)
    rewritten(
        path,
        change=lambda text: re.sub(
            r'"_sklearn_version","[\d.]+"', '"_sklearn_version","1.2.0"', text
        ),
    )
    with pytest.warns(InconsistentVersionWarning, match=r"StandardScaler from version 1\.2\.0"):
        skmeta.load(path)


def test_without_safetensors_the_error_says_what_to_install(fitted, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"skmeta\[save\]"):
        skmeta.save(fitted, tmp_path / "estimator.safetensors")
