"""The training table of a project, as pandas sees it."""

import pathlib

from pyiceberg.catalog.sql import SqlCatalog


def training_table(project, name):
    """The rows of a table in the warehouse beside a project, `lake.spam_training` say."""
    warehouse = pathlib.Path(project).resolve() / "warehouse"
    catalog = SqlCatalog("riverrun", uri=f"sqlite:///{warehouse}/catalog.db", warehouse=f"file://{warehouse}")
    return catalog.load_table(name).scan().to_pandas()
