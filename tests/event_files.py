"""Reads TensorBoard's event files by their specification, without tensorboardX.

A file is a list of records: a length (uint64), its checksum, the data, their checksum.
The data are an Event, a protocol buffer of TensorFlow's event.proto and summary.proto.
"""

import struct

START = 1  # of SessionLog.SessionStatus


def points(folder):
    """The points that TensorBoard shows of a run: {tag: [(step, value), ...]}.

    A value is a float, or a dict of a histogram's min, max, num, limits and counts.
    """
    found = {}
    for path in sorted(folder.iterdir()):
        for event in map(message, records(path.read_bytes())):
            step = event.get(2, [0])[0]
            if 7 in event and message(event[7][0]).get(1) == [START]:
                for tag, shown in found.items():  # what was written from there on
                    found[tag] = [point for point in shown if point[0] < step]
            for summary in event.get(5, []):
                for value in message(summary).get(1, []):
                    fields = message(value)
                    point = step, number(fields)
                    found.setdefault(fields[1][0].decode(), []).append(point)
    return {tag: shown for tag, shown in found.items() if shown}


def number(fields):
    """A Summary.Value's simple_value or histo."""
    if 2 in fields:
        return struct.unpack("<f", fields[2][0])[0]
    histogram = message(fields[5][0])
    zero = [bytes(8)]  # which is not written
    low, high, count = (doubles(histogram.get(n, zero))[0] for n in (1, 2, 3))
    limits, counts = (doubles(histogram[n]) for n in (6, 7))
    return {"min": low, "max": high, "num": count, "limits": limits, "counts": counts}


def doubles(packed):
    data = b"".join(packed)
    return list(struct.unpack(f"<{len(data) // 8}d", data))


def records(data):
    """The records of a file; a cut or changed one is an error."""
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        body = data[12 : 12 + length]
        assert data[8:12] == checksum(data[:8])
        assert data[12 + length : 16 + length] == checksum(body)
        yield body
        data = data[16 + length :]


def checksum(data):
    """CRC-32C, rotated and shifted as records have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def message(data):
    """A protocol buffer's fields: {number: [value, ...]}."""
    fields, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        else:
            size, at = {1: (8, at), 5: (4, at)}.get(kind) or varint(data, at)
            value, at = data[at : at + size], at + size
        fields.setdefault(key >> 3, []).append(value)
    return fields


def varint(data, at):
    value, shift = 0, 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
