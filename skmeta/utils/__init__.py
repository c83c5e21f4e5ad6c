"""Tools for those who write meta-learners."""

from skmeta.utils.estimator_checks import check_meta_learner, meta_learner_checks

__all__ = ["check_meta_learner", "meta_learner_checks"]
