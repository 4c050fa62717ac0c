"""Models of market data: find the files, make features and labels, train, evaluate honestly, register.

The path of one model: :mod:`.data` finds and checks the files, :mod:`.features` makes the columns, :mod:`.targets`
the labels, :mod:`.samples` both without gaps, a family of estimators the model, :mod:`.splitting` keeps past and future
apart, :mod:`.tuning` searches for parameters, :mod:`.evaluation` scores,
:mod:`.fitting` trains one, :mod:`.runs` takes one job from its file to its row in :mod:`.results`, and :mod:`.trainer`
runs many and keeps what they give as :mod:`.records` says; :mod:`.models` is what is done with them then. Nothing in a
feature row is younger than the row, and no label of a training row is made of a price of the test part.

Importing this package loads pandas and no scikit-learn.
"""

from friday_store.market.splitting import WalkForwardSplit
from friday_store.market.targets import ModelType, PredictionTarget
from friday_store.market.trainer import MarketDataModelTrainer

__all__ = ["MarketDataModelTrainer", "ModelType", "PredictionTarget", "WalkForwardSplit"]
