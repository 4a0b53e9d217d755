"""Rows with values of every type as text that is the same whoever has read them."""

import datetime as dt


def text(value):
    """A value as text."""
    match value:
        case dict():
            return "{" + ", ".join(f"{text(key)}: {text(of)}" for key, of in sorted(value.items())) + "}"
        case list() | tuple():
            return "[" + ", ".join(text(one) for one in value) + "]"
        case dt.datetime():
            zoned = value.astimezone(dt.timezone.utc) if value.tzinfo else value
            return f"{zoned:%Y-%m-%dT%H:%M:%S.%f}"
        case bytes() | bytearray():
            return bytes(value).hex()
    return str(value)


def show(names, rows):
    """Prints rows, each a list of values."""
    print(f"{len(rows)} rows")
    for row in rows:
        print("; ".join(f"{name}={text(value)}" for name, value in zip(names, row)))
