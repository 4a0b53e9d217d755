"""Prints how DuckDB reads every pair of operators without parentheses, one line per pair.

usage: precedence.py > precedence.tsv

A line has the expression, a tab, and the same with the parentheses that change nothing; `refused` stands for those that
DuckDB does not read. Only the syntax tree is looked at: no type takes part.
"""
import json

import duckdb

BINARY = """OR;AND;=;<>;<;<=;IS DISTINCT FROM;IS NOT DISTINCT FROM;LIKE;NOT LIKE;ILIKE;SIMILAR TO;NOT SIMILAR TO;~;!~;~~;
+;-;*;/;//;%;^;**;||;&;|;<<;>>""".replace("\n", "").split(";")
PREFIX = ["NOT", "-", "+", "~"]
POSTFIX = ["IS NULL", "IS NOT NULL", "ISNULL", "NOTNULL", "IS TRUE", "IS NOT FALSE", "IS UNKNOWN", "::BIGINT"]
BETWEEN = ["BETWEEN", "NOT BETWEEN"]
IN = ["IN", "NOT IN"]
# A sign and an operator between two may be written alike.
KINDS = {"binary": BINARY, "prefix": PREFIX, "postfix": POSTFIX, "between": BETWEEN, "in": IN}


def after(kind, operator, names):
    """What follows the left side of an operator."""
    if kind == "binary":
        return [operator, names.pop(0)]
    if kind == "between":
        return [operator, names.pop(0), "AND", names.pop(0)]
    if kind == "in":
        return [operator, f"({names.pop(0)})"]
    return [operator]


def pairs(first, second):
    """The ways in which two operators follow each other."""
    names = list("abcdef")
    (first_kind, first_operator), (second_kind, second_operator) = first, second
    if first_kind == "prefix":
        if second_kind == "prefix":
            return [[first_operator, second_operator, "a"]]
        return [[first_operator, names.pop(0), *after(*second, names)]]
    if second_kind == "prefix":
        if first_kind == "binary":
            return [["a", first_operator, second_operator, "b"]]
        if first_kind == "between":
            sides = [[second_operator, "b", "AND", "c"], ["b", "AND", second_operator, "c"]]
            return [["a", first_operator, *side] for side in sides]
        return []
    left = names.pop(0)
    ways = [[left, *after(*first, names), *after(*second, names)]]
    if first_kind == "between":
        names = list("bcdef")
        ways.append([left, first_operator, names.pop(0), *after(*second, names), "AND", names.pop(0)])
    return ways


def written(tokens):
    return " ".join(tokens).replace("( ", "(").replace(" )", ")")


def grouped(tokens):
    """The expression with one pair of parentheses around each part of it that has an operator."""
    whole = len(tokens)
    for start in range(whole):
        for end in range(start + 2, whole + 1):
            if (start, end) != (0, whole):
                yield written([*tokens[:start], "(", *tokens[start:end], ")", *tokens[end:]])


def without_places(tree):
    if isinstance(tree, dict):
        places = ("query_location", "query_location_length")
        return {key: without_places(value) for key, value in tree.items() if key not in places}
    return [without_places(value) for value in tree] if isinstance(tree, list) else tree


def trees(expressions):
    """The syntax tree of each expression; nothing for those that DuckDB does not read."""
    rows = duckdb.execute(
        "SELECT x, json_serialize_sql('SELECT ' || x) FROM (SELECT unnest($expressions) AS x)",
        {"expressions": expressions},
    ).fetchall()
    read = {}
    for expression, text in rows:
        told = json.loads(text)
        if not told["error"]:
            tree = without_places(told["statements"][0]["node"]["select_list"][0])
            read[expression] = json.dumps(tree, sort_keys=True)
    return read


def main():
    operators = [(kind, operator) for kind, all_of_kind in KINDS.items() for operator in all_of_kind]
    all_pairs = [way for first in operators for second in operators for way in pairs(first, second)]
    read = trees([text for tokens in all_pairs for text in [written(tokens), *grouped(tokens)]])
    seen = set()
    for tokens in all_pairs:
        text = written(tokens)
        if text in seen:
            continue
        seen.add(text)
        tree = read.get(text)
        same = [other for other in grouped(tokens) if tree is not None and read.get(other) == tree]
        print(text, same[0] if same else "refused", sep="\t")


main()
