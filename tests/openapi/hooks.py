"""Bodies that OpenAPI cannot describe: records a line each, and packed records. What is made up is right mostly, and broken sometimes."""

import base64
import json
import struct

import schemathesis
from hypothesis import strategies as st

TOPICS = st.sampled_from(["orders", "flights", "by-header.billing", "round-robin.x", "no such topic"])
TEXTS = st.text(max_size=20)
BYTES = st.binary(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
ENCODED = BYTES.map(lambda given: base64.b64encode(given).decode())
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "topic": TOPICS,
        "key": TEXTS | st.none(),
        "key_base64": ENCODED,
        "value": JSON,
        "value_base64": ENCODED | TEXTS,
        "headers": st.dictionaries(TEXTS, TEXTS | st.none() | st.fixed_dictionaries({"base64": ENCODED}), max_size=3),
        "partition": st.integers(-1, 5),
        "timestamp": st.integers(0, 2**50),
        "unknown": st.none(),
    },
)


@st.composite
def lines(draw):
    """NDJSON."""
    text = "\n".join(json.dumps(record) for record in draw(st.lists(RECORDS, min_size=1, max_size=5)))
    broken = draw(st.sampled_from(["", "", "", "\n", "\n{", "\n[1]", "\n\n"]))
    return (text + broken).encode()


@st.composite
def packed_record(draw):
    """One record, as the README lays it out."""
    flags, optional = 0, b""
    partition, timestamp, topic = draw(st.none() | st.integers(0, 5)), draw(st.none() | st.integers(0, 2**50)), draw(st.none() | TOPICS)
    if partition is not None:
        flags, optional = flags | 1, optional + struct.pack("<I", partition)
    if timestamp is not None:
        flags, optional = flags | 2, optional + struct.pack("<Q", timestamp)
    if topic is not None:
        flags, optional = flags | 4, optional + struct.pack("<I", len(topic)) + topic.encode()
    headers = draw(st.lists(st.tuples(TEXTS, st.none() | BYTES), max_size=2))
    for name, value in headers:
        name = name.encode("utf-8", "replace")
        optional += struct.pack("<Ii", len(name), -1 if value is None else len(value)) + name + (value or b"")
    key, value = draw(st.none() | BYTES), draw(st.none() | BYTES)
    lengths = struct.pack("<HHii", flags, len(headers), *(-1 if part is None else len(part) for part in (key, value)))
    body = lengths + optional + (key or b"") + (value or b"")
    return struct.pack("<I", len(body)) + body


@st.composite
def packed(draw):
    """A batch, at times with its end or a byte wrong."""
    records = draw(st.lists(packed_record(), min_size=1, max_size=4))
    body = bytearray(b"PMR\1" + struct.pack("<I", len(records)) + b"".join(records))
    if draw(st.integers(0, 3)) == 0:
        body[draw(st.integers(0, len(body) - 1))] ^= 0xFF
    return bytes(body[: -draw(st.sampled_from([1, 3]))] if draw(st.integers(0, 5)) == 0 else body)


schemathesis.openapi.media_type("application/x-ndjson", lines())
schemathesis.openapi.media_type("application/vnd.pointsman.records", packed())
