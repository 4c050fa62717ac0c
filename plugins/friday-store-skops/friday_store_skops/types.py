"""The types, beyond those that skops itself trusts, that a model in this format may be made of.

Every name was looked at: none of them runs code that a file could choose when it is made or set up. The list is exact,
since a prefix such as ``numpy.`` lets in functions that run what they are given. It is never read from a model.
"""

from __future__ import annotations

from typing import Final

_LOSSES: Final = (
    "AbsoluteError", "ExponentialLoss", "HalfBinomialLoss", "HalfGammaLoss", "HalfMultinomialLoss", "HalfPoissonLoss",
    "HalfSquaredError", "HalfTweedieLoss", "HalfTweedieLossIdentity", "HuberLoss", "PinballLoss",
)  # fmt: skip
_DISTANCES: Final = (
    "ChebyshevDistance", "EuclideanDistance", "HaversineDistance", "ManhattanDistance", "MinkowskiDistance",
    "SEuclideanDistance",
)  # fmt: skip
_KERNELS: Final = (
    "ConstantKernel", "DotProduct", "ExpSineSquared", "Exponentiation", "Matern", "Product", "RBF", "RationalQuadratic",
    "Sum", "WhiteKernel",
)  # fmt: skip
_SCORES: Final = ("chi2", "f_classif", "f_regression")

TYPES: Final = (
    "numpy.dtype",
    "numpy.mean",
    "numpy.median",
    "scipy.interpolate._bsplines.BSpline",
    "scipy.sparse._csc.csc_array",
    "scipy.sparse._csc.csc_matrix",
    "scipy.sparse._csr.csr_array",
    "scipy.sparse._csr.csr_matrix",
    *(f"sklearn._loss.loss.{name}" for name in _LOSSES),
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.cluster._bisect_k_means._BisectingTree",
    "sklearn.cluster._kmeans._kmeans_single_elkan",
    "sklearn.cluster._kmeans._kmeans_single_lloyd",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    *(f"sklearn.feature_selection._univariate_selection.{name}" for name in _SCORES),
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(f"sklearn.gaussian_process.kernels.{name}" for name in _KERNELS),
    *(f"sklearn.metrics._dist_metrics.{name}{bits}" for name in _DISTANCES for bits in (32, 64)),
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
)
