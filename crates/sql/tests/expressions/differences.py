"""Prints what DuckDB answers to the expressions of differences.tsv: one line each.

usage: differences.py FOLDER
"""
import os
import sys

import duckdb

ROW = """
CREATE TABLE row AS SELECT 0 AS n, TIMESTAMP '2024-01-01 00:00:00' AS ts, '2' AS word, NULL::DECIMAL(3,1) AS nothing
"""


def answer(connection, expression):
    try:
        value = connection.execute(f"SELECT CAST(({expression}) AS VARCHAR) FROM row").fetchone()[0]
    except duckdb.BinderException:
        return "refused"
    except duckdb.Error:
        return "!"
    return "\\N" if value is None else value


def main(folder):
    connection = duckdb.connect()
    connection.execute("SET timezone='UTC'")
    connection.execute(ROW)
    with open(os.path.join(folder, "differences.tsv"), encoding="utf-8") as file:
        expressions = [line.rstrip("\n").split("\t")[1] for line in file]
    for expression in expressions:
        print(answer(connection, expression))


main(sys.argv[1])
