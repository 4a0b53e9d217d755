"""Runs the statements of a file in DuckDB and says per SELECT whether it agrees: agrees, differs or refuses.

    python3 oracle.py asked.json
"""
import datetime
import json
import math
import re
import sys

import duckdb


def table_of(stream):
    """The CREATE TABLE of a CREATE STREAM: its declared columns alone."""
    head, rest = stream.split("(", 1)
    depth, parts, part = 0, [], ""
    for letter in rest:
        if letter == ")" and depth == 0:
            break
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += letter
    parts.append(part)
    columns = [part.strip() for part in parts if part.split()[0].upper() not in ("WATERMARK", "DEDUP")]
    return f"CREATE TABLE {head.split()[2]} ({', '.join(columns)})"


def text(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime):
        # Ours has three digits after the point, or six where there are microseconds.
        digits = "milliseconds" if value.microsecond % 1000 == 0 else "microseconds"
        return value.isoformat(sep=" ", timespec=digits if value.microsecond else "seconds")
    return "(empty)" if value == "" else str(value)


def same(ours, theirs):
    """Whether our text is DuckDB's value: a float but for the last digits, everything else exactly."""
    if not isinstance(theirs, float) or ours == text(theirs):
        return ours == text(theirs)
    # What is no float of ours has no point, exponent or name: an integer is not nearly a float.
    if re.fullmatch(r"-?\d+", ours):
        return False
    try:
        found = float(ours)
    except ValueError:
        return False
    return math.isclose(found, theirs, rel_tol=1e-9) or (math.isnan(found) and math.isnan(theirs))


def key(row):
    """An order of rows that floats of nearly the same value do not change."""
    cells = [cell if isinstance(cell, str) else text(cell) for cell in row]
    return [f"{float(cell):.6f}" if re.fullmatch(r"-?\d+\.\d*(e-?\d+)?", cell) else cell for cell in cells]


def is_ordered(select):
    """Whether ORDER BY stands at the end, outside of parentheses."""
    outside = re.sub(r"'[^']*'", "", select)
    while "(" in outside:
        less = re.sub(r"\([^()]*\)", "", outside)
        if less == outside:
            break
        outside = less
    return "ORDER BY" in outside.upper()


def answer(connection, select, ours):
    theirs = [list(row) for row in connection.execute(select).fetchall()]
    if not is_ordered(select):
        ours, theirs = sorted(ours, key=key), sorted(theirs, key=key)
    alike = len(ours) == len(theirs) and all(
        len(a) == len(b) and all(same(x, y) for x, y in zip(a, b)) for a, b in zip(ours, theirs)
    )
    if alike:
        return "agrees"
    lines = [select, "ours", *map(str, ours), "theirs", *(str([text(cell) for cell in row]) for row in theirs)]
    return "differs " + "\\n".join(lines).replace("\n", "\\n")


def main():
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for asked in json.load(open(sys.argv[1])):
        if "select" in asked:
            select = asked["select"]
            shown = " ".join(select.split())
            try:
                told = answer(connection, select, asked["answer"])
            except duckdb.Error as error:
                told = f"refuses {shown}: {str(error).splitlines()[0]}"
            print(told if told != "agrees" else f"agrees {shown}")
        elif "rows" in asked:
            connection.execute(asked["rows"])
        elif asked["create"].split()[1].upper() == "STREAM":
            connection.execute(table_of(asked["create"]))
        else:
            try:
                connection.execute(asked["create"])
            except duckdb.Error:
                # SELECTs from it are refused below, and said.
                pass


main()
