"""Files that earlier versions wrote still load, and predict what they did then."""

from __future__ import annotations

import importlib.util
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import InconsistentVersionWarning

import skmeta

FOLDER = Path(__file__).parents[1] / "saved"
FILES = sorted(FOLDER.glob("*.safetensors"))

_spec = importlib.util.spec_from_file_location("make", FOLDER / "make.py")
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)


def test_there_are_files_of_each_kind():
    assert {path.stem.partition("-")[0] for path in FILES} == make.ESTIMATORS.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_old_file_loads_and_predicts_what_was_recorded(path):
    expected = json.loads((FOLDER / "predictions.json").read_text())[path.stem]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        model = skmeta.load(path)
    found = make.predictions(path.stem.partition("-")[0], model)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-9)
