"""Prints what DuckDB answers to each expression, on each row alone: one line per expression.

usage: oracle.py FOLDER > answers.tsv
"""
import datetime
import json
import os
import sys

import duckdb


def literal(text, type_name):
    if text == "\\N":
        return f"NULL::{type_name}"
    if type_name == "TIMESTAMP":
        return f"make_timestamp({text}::BIGINT)"
    if type_name == "DATE":
        return f"(DATE '1970-01-01' + {text}::INTEGER)"
    quoted = text.replace("'", "''")
    return f"'{quoted}'::{type_name}"


def shown(value):
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, datetime.timedelta):
        return str(value // datetime.timedelta(microseconds=1))
    return str(value)


def main(folder):
    connection = duckdb.connect()
    connection.execute("SET timezone='UTC'")
    with open(os.path.join(folder, "rows.tsv"), encoding="utf-8") as file:
        header, *rows = [line.rstrip("\n").split("\t") for line in file]
    columns = [column.split(" ") for column in header]
    for number, row in enumerate(rows):
        values = ", ".join(f"{literal(text, kind)} AS {name}" for text, (name, kind) in zip(row, columns))
        connection.execute(f"CREATE TABLE row{number} AS SELECT {values}")
    with open(os.path.join(folder, "expressions.txt"), encoding="utf-8") as file:
        expressions = [line.rstrip("\n") for line in file]
    for expression in expressions:
        described = connection.execute(f"DESCRIBE SELECT {expression} AS x FROM row0").fetchone()[1]
        selected = f"({expression})"
        # Python's times end at the year 9999, its intervals lose months: whole microseconds do neither.
        if described in ("TIMESTAMP", "INTERVAL"):
            selected = f"epoch_us({expression})"
        if described == "DATE":
            selected = f"(({expression}) - DATE '1970-01-01')"
        answers = [expression, described]
        for number in range(len(rows)):
            try:
                answers.append(shown(connection.execute(f"SELECT {selected} FROM row{number}").fetchone()[0]))
            except (duckdb.OutOfRangeException, duckdb.ConversionException, duckdb.InvalidInputException):
                answers.append("!")
        print("\t".join(answers))


main(sys.argv[1])
