"""Appends rows to the table of the committers with PyIceberg, one in each commit. append.py URI COMMITTER COMMITS"""

import sys
import time

import pyarrow
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import CommitFailedException

uri, committer, commits = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
catalog = RestCatalog("rest", uri=uri)
for number in range(commits):
    row = pyarrow.table({"committer": pyarrow.array([committer]), "number": pyarrow.array([number])})
    while True:
        try:
            catalog.load_table("lake.contended").append(row)
            break
        except CommitFailedException:
            # Others were quicker as often as it tries by itself.
            time.sleep(0.05)
