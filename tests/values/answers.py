"""Makes answers.tsv: what DuckDB's CAST makes of each spelling, for every type that a stream's column may have.

    python3 answers.py > answers.tsv

The columns are: form, type, spelling, the answer of DuckDB's CAST, that of ours, that of readers, and why they differ.
A form is how the value is stored: `text` (JSON strings, CSV cells, texts of Parquet and tables), `json` (what is no
string in JSON), or a physical type of Parquet, whose values are spelled as the integers or floats that are stored.
Spellings and answers are JSON; `refused` stands for a value that CAST does not take.
"""
import json

import duckdb

TYPES = ["BIGINT", "INTEGER", "SMALLINT", "DOUBLE", "FLOAT", "BOOLEAN", "TEXT", "TIMESTAMP", "DATE"]

NUMBERS = """0 1 -1 +5 007 0042 -0 +0 12 127 128 -128 255 32767 32768 -32768 -32769 65535 2147483647 2147483648
-2147483648 -2147483649 4294967295 9007199254740993 9223372036854775807 9223372036854775808 -9223372036854775808
-9223372036854775809 12345678901234567890 99999999999999999999 1.0 1.5 2.5 -2.5 -1.5 0.5 -0.5 1.7 1.49 .5 5. . -.5
1e3 1E3 1e+3 1e-3 1.5e3 15e-1 25e-1 1e18 1e19 1e38 1e39 3.4028235e38 3.5e38 1e300 1e308 1.8e308 1e400 -1e400 5e-324
1e-400 0.1 0.30000000000000004 123456789.123456789 1_000 1__0 _1 1_ 1,000 0x10 0b11 0o7 1e 1e+ e1 - + -- 1- 1d 1f
NaN nan -nan inf -inf +inf Infinity infinity -Infinity INF""".split()
WORDS = ["true", "false", "True", "FALSE", "TRUE", "t", "f", "T", "F", "yes", "no", "y", "n", "Y", "on", "off",
         "tru", "null", "NULL", "none", "", " ", "hello", "é", "a\"b", "a,b", "{\"a\":1}", "[1,2]", "1 2", "\\N",
         "\U0001f600", "line\nbreak", "tab\there"]
SPACED = [" 5", "5 ", " 5 ", "\t5", "5\n", " 1.5 ", " true", "true ", " 2024-01-01", "2024-01-01 ",
          " 2024-01-01 10:00:00", "2024-01-01 10:00:00 "]
TIMES = """2024-01-01
2024-1-1
2024-01-1
2024/01/01
2024/1/2
2024-01/01
20240101
2024-02-29
2023-02-29
2024-13-01
2024-00-10
2024-01-32
2024-01-00
2024-01-01 10
2024-01-01 10:00
2024-01-01T10:00
2024-01-01 10:00:00
2024-01-01T10:00:00
2024-01-01T10:00:00Z
2024-01-01 10:00:00Z
2024-01-01t10:00:00z
2024-01-01 10:00:00 UTC
2024-01-01 10:00:00 GMT
2024-01-01 1:2:3
2024-01-01 10:00:00.1
2024-01-01 10:00:00.123
2024-01-01T10:00:00.123456Z
2024-01-01T10:00:00.123456789Z
2024-01-01T10:00:00.9999999Z
2024-01-01T10:00:00.Z
2024-01-01 10:00:00,5
2024-01-01 24:00:00
2024-01-01 24:00:01
2024-01-01 25:00:00
2024-01-01 10:60:00
2024-01-01 10:00:60
2024-01-01 10:
2024-01-01 10:00:
2024-01-01T10:00:Z
2024-01-01 10:00:30.
2024-01-01 24:
2024-01-01 10::
2024-01-01 10:00:.5
2024-01-01T10:00:00+02:00
2024-01-01T10:00:00-05:00
2024-01-01T10:00:00+0530
2024-01-01 10:00:00+02
2024-01-01 10:00:00 +02:00
2024-01-01T10:00:00.5-08:00
2024-01-01T23:30:00-05:00
2024-01-01T10:00:00+2:00
2024-01-01  10:00:00
2024-01-01T 10:00:00
2024-01-01x10:00:00
2024-01-01 10:00:00 Europe/Berlin
2024-01-01 10:00:00 x
1970-01-01 00:00:00
1969-12-31 23:59:59.999999
1900-01-01
1677-09-21 00:12:43
1600-01-01 12:00:00
0001-01-01
0000-01-01
0000-12-31 23:59:59
-0001-01-01
0044-03-15 (BC)
0044-03-15 (BC) 10:00:00
2262-04-11 23:47:16.854775
2262-04-12
2300-01-01
9999-12-31
9999-12-31 23:59:59.999999
10000-01-01
10000-01-01T00:00:00Z
12345-06-07 08:09:10
99999-12-31
294247-01-10
294247-01-10 04:00:54.775806
294247-01-10 04:00:54.775807
294247-01-11
290309-12-22 (BC)
290309-12-22 (BC) 00:00:00
290309-12-21 (BC) 00:00:00
5881580-07-10
5881580-07-11
5877642-06-25 (BC)
epoch
infinity
-infinity
now
today
yesterday
12:00
12:00:00
Jan 1 2024
01/02/2024
01-02-2024
2024
2024-01
1704067200
1704067200000
1704067200000000
20240101T100000Z""".split("\n")

JSON = """null true false 0 1 -1 2 5 -0 -0.0 12 127 128 255 32767 32768 -32768 -32769 2147483647 2147483648 -2147483648
-2147483649 4294967296 9007199254740991 9007199254740992 9007199254740993 9223372036854775807 9223372036854775808
-9223372036854775808 -9223372036854775809 12345678901234567890 18446744073709551616 1e400 -1e400 1.0 1.5 2.5 -2.5 0.5
-0.5 1.7 1.49 0.1 0.30000000000000004 1.10 100.00 123456789.123456789 1e3 1E3 1e+3 1e-3 1.5e3 15e-1 1e18 1e19 1e38 1e39
3.4028235e38 3.5e38 1e300 1e308 1.8e308 5e-324 1e-400 1704067200 1704067200000 1704067200000000 20240101 0.0 0e0 1e0
99999999999999999999999999999999999999999 1e15 1e16 1e17 123456789012345678 0.001 0.0001 1E-7 3 42 1000000 -7 -7.5 99.5
100.5 1e2 1e1 1E5 65535 65536 4294967295 2.0 2.50""".split()
NESTED = ["{}", "{\"a\":1}", "{\"a\": {\"b\": [1, 2]}}", "[]", "[1,2]", "[1, \"x\", null]", "[{\"a\":1}]", "{\"a\":\"\\\"\"}"]

BEYOND = "no number becomes infinite without a word"
SIGNED = "the sign of NaN says nothing"
OFFSET = "an offset names an instant, and TIMESTAMP is in UTC"
ZONE = "zones are not known by name"
INFINITE = "nothing can be computed with a time after all others"


def physical():
    """Physical types of Parquet: the DuckDB expression of a value, and values."""
    ints = {8: [0, 1, -1, 127, -128], 16: [0, 5, 300, 32767, -32768], 32: [0, 1, 40000, 2147483647, -2147483648],
            64: [0, 1, -1, 3000000000, 9007199254740993, 9223372036854775807, -9223372036854775808, 1704067200]}
    for bits, values in ints.items():
        yield f"int{bits}", {8: "TINYINT", 16: "SMALLINT", 32: "INTEGER", 64: "BIGINT"}[bits], "{}", values
    for bits, values in {8: [0, 1, 255], 16: [0, 65535], 32: [7, 4294967295], 64: [7, 18446744073709551615]}.items():
        yield f"uint{bits}", {8: "UTINYINT", 16: "USMALLINT", 32: "UINTEGER", 64: "UBIGINT"}[bits], "{}", values
    floats = ["0", "-0.0", "1.7", "-1.7", "0.5", "1.5", "2.5", "-2.5", "0.1", "32767.4", "32767.5", "2147483647.5",
              "1e10", "1e19", "1e38", "nan", "inf", "-inf", "5e-324", "9007199254740993"]
    yield "float", "FLOAT", "'{}'", floats
    yield "double", "DOUBLE", "'{}'", floats + ["1e300", "9.2e18", "-9223372036854775808", "0.30000000000000004"]
    yield "decimal", "DECIMAL(18,3)", "{} / 1000::DECIMAL(18,3)", [0, 1000, 1700, -1700, 500, 1500, 2500, -2500, 1499, 123456789]
    yield "bool", "BOOLEAN", "{}", ["true", "false"]
    yield "date", "DATE", "DATE '1970-01-01' + {}", [0, 19723, -1, -719528, 2932897, 2147483646, -2147483646, 2147483647, -2147483647]
    micros = [0, -1, 1, 1704103200000000, 253402300800000000, -62167219200000001, -99999999999999999]
    ends = [9223372036854775806, -9223372022400000000, 9223372036854775807, -9223372036854775807]
    yield "micros", "TIMESTAMP", "make_timestamp({})", micros + ends
    yield "millis", "TIMESTAMP_MS", "epoch_ms({})", [0, -1, 1704103200000, 253402300800000]
    yield "nanos", "TIMESTAMP_NS", "make_timestamp_ns({})", [0, -1, 1, 499, 500, 501, 1499, 1500, -500, -501, -1500, 1704103200123456789]
    yield "int96", "TIMESTAMP", "make_timestamp({})", micros


def stored_value(expression, value):
    """The greatest number of a time and its opposite are stored for infinity."""
    if expression.startswith(("DATE", "make_timestamp(")) and abs(value) in (2147483647, 9223372036854775807):
        return "'infinity'" if value > 0 else "'-infinity'"
    return expression.format(value)


def answer(connection, expression, parameters=()):
    """JSON of a value's text; `refused` where CAST fails."""
    try:
        (value,) = connection.execute(f"SELECT ({expression})::VARCHAR", list(parameters)).fetchone()
    except duckdb.Error:
        return "refused"
    return json.dumps(value)


def policy(form, kind, spelling, connection, theirs):
    """What our CAST answers, what readers do, and why it is not what DuckDB's CAST does."""
    if form in ("text", "json") and kind in ("DOUBLE", "FLOAT"):
        if theirs == '"-nan"':
            return '"nan"', '"nan"', SIGNED
        if "inf" in theirs and any(digit in spelling for digit in "0123456789"):
            return theirs, "refused", BEYOND
    if form in ("date", "micros") and "infinity" in theirs:
        return "refused", "refused", INFINITE
    if form != "text" or kind not in ("TIMESTAMP", "DATE") or theirs == "refused":
        return theirs, theirs, ""
    if "inf" in spelling.lower():
        return "refused", "refused", INFINITE
    if "Europe" in spelling or spelling.endswith(" x"):
        return "refused", "refused", ZONE
    if kind == "TIMESTAMP":
        # After a space DuckDB takes an offset for the name of a zone.
        instant = answer(connection, "CAST(? AS TIMESTAMPTZ) AT TIME ZONE 'UTC'", [spelling.replace(" +", "+")])
        if instant != theirs:
            return theirs, instant, OFFSET
    return theirs, theirs, ""


def main():
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    lines = []

    def add(form, kind, spelling, theirs):
        ours, readers, why = policy(form, kind, spelling, connection, theirs)
        lines.append("\t".join([form, kind, json.dumps(spelling), theirs, ours, readers, why]))

    for kind in TYPES:
        for spelling in dict.fromkeys(NUMBERS + WORDS + SPACED + TIMES):
            add("text", kind, spelling, answer(connection, f"CAST(? AS {kind})", [spelling]))
        for spelling in dict.fromkeys(JSON):
            # A number is the text that it is written as, and for a BOOLEAN whether it is zero.
            number = f"'{spelling}'" if kind != "BOOLEAN" else f"'{spelling}'::DOUBLE"
            value = spelling if spelling in ("null", "true", "false") else number
            add("json", kind, spelling, answer(connection, f"CAST({value} AS {kind})"))
        for spelling in NESTED:
            add("json", kind, spelling, json.dumps(spelling) if kind == "TEXT" else "refused")
        for form, stored, expression, values in physical():
            try:
                connection.execute(f"SELECT CAST(NULL::{stored} AS {kind})")
            except duckdb.Error:
                # A column of this type is refused as such.
                continue
            for value in values:
                cast = f"CAST(CAST({stored_value(expression, value)} AS {stored}) AS {kind})"
                add(form, kind, str(value), answer(connection, cast))
    print("\n".join(lines))


main()
