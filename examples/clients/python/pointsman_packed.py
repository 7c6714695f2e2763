"""Packed records, the fastest way in, and the outcomes that come back in the same way: application/vnd.pointsman.records.

Bytes and no connection; standard library only. docs/packed-records.md of the project has the layout.
"""

import base64
import json
import struct

# Content-Type of a batch, and what Accept must name for packed outcomes.
CONTENT_TYPE = "application/vnd.pointsman.records"

_OUTCOMES = ("acked", "rejected", "failed", "unknown")


def pack(records):
    """The body of a request. Records are dictionaries as in the API; a key, a value or a header's may also be bytes."""
    body = [b"PMR\x01", struct.pack("<I", len(records))]
    for record in records:
        key, value = _key(record), _value(record)
        headers = [(name.encode(), _header(given)) for name, given in (record.get("headers") or {}).items()]
        flags, rest = 0, []
        for flag, field, form in ((1, "partition", "<I"), (2, "timestamp", "<Q")):
            if record.get(field) is not None:
                flags |= flag
                rest.append(struct.pack(form, record[field]))
        if record.get("topic") is not None:
            flags |= 4
            topic = record["topic"].encode()
            rest += [struct.pack("<I", len(topic)), topic]
        for name, given in headers:
            rest += [struct.pack("<Ii", len(name), _length(given)), name, given or b""]
        rest += [key or b"", value or b""]
        size = 12 + sum(map(len, rest))
        body.append(struct.pack("<IHHii", size, flags, len(headers), _length(key), _length(value)))
        body += rest
    return b"".join(body)


def unpack(body):
    """The reply, in the form of the API's JSON, always with "index" and "accepted". ValueError if it is not a reply."""
    try:
        return _unpack(body)
    except (struct.error, IndexError) as error:
        raise ValueError(f"no packed outcomes: {error}") from error


def _unpack(body):
    magic, generation, accepted, count = struct.unpack_from("<4sIII", body)
    if magic != b"PMO\x01":
        raise ValueError("no packed outcomes")
    at, records = 16, []
    for _ in range(count):
        index, outcome, flags, _, partition, offset, timestamp = struct.unpack_from("<IBBHiqq", body, at)
        at += 28
        told = {"index": index, "outcome": _OUTCOMES[outcome]}
        if outcome == 0:
            told |= {"partition": partition, "offset": _number(offset), "timestamp": _number(timestamp)}
        if flags & 1:
            told["late"] = True
        for flag, name, fields in ((2, "error", ("code", "message")), (4, "plugin", ("name", "digest"))):
            if flags & flag:
                told[name] = {}
                for field in fields:
                    (length,) = struct.unpack_from("<I", body, at)
                    told[name][field] = body[at + 4 : at + 4 + length].decode()
                    at += 4 + length
        records.append(told)
    if at != len(body):
        raise ValueError(f"{len(body) - at} bytes after the last outcome")
    return {"generation": generation, "accepted": accepted, "records": records}


def _key(record):
    if record.get("key_base64") is not None:
        return base64.b64decode(record["key_base64"])
    return _text(record.get("key"))


def _value(record):
    if record.get("value_base64") is not None:
        return base64.b64decode(record["value_base64"])
    value = record.get("value")
    if value is None or isinstance(value, bytes):
        return value
    return json.dumps(value).encode()


def _header(given):
    if isinstance(given, dict):
        return base64.b64decode(given["base64"])
    return _text(given)


def _text(given):
    return given.encode() if isinstance(given, str) else given


def _length(given):
    return -1 if given is None else len(given)


def _number(given):
    return None if given == -1 else given
