"""Real daily prices for demonstrations and tests, offline: AAPL, FB, GOOG, IBM and MSFT, 2000-03-01 to 2013-03-01.

The data are the ``stocks.csv.gz`` of the package bokeh-sampledata, which its documentation states to be in the public
domain (Quandl WIKI). FB has 196 rows, fewer than a model needs, and is there to show what happens then.
"""

from __future__ import annotations

from importlib import import_module
from importlib.resources import as_file, files

import pandas as pd

from friday_store.errors import PluginError
from friday_store.market.features import adjust


def stocks() -> dict[str, pd.DataFrame]:
    """Return ``{symbol: bars}``: float columns open, high, low, close, volume on an index of days, sorted by symbol.

    Prices are adjusted for splits and dividends. As quoted, MSFT falls by 48 % on 2003-02-18, which is its 2:1 split.
    Nothing is downloaded.

    Raises:
        PluginError: bokeh-sampledata is not installed, or does not hold the file.
    """
    hint = "pip install 'friday-store[demo]'"
    try:
        package = import_module("bokeh_sampledata")
    except ImportError as error:
        raise PluginError("the demo needs the package bokeh-sampledata", hint=hint) from error
    resource = files(package) / "_data" / "stocks.csv.gz"
    if not resource.is_file():
        raise PluginError("the package bokeh-sampledata has no file stocks.csv.gz", hint=hint)
    with as_file(resource) as path:
        table = pd.read_csv(path)
    table.columns = table.columns.str.lower()
    return {str(symbol): adjust(rows.drop(columns="ticker")) for symbol, rows in table.groupby("ticker")}
