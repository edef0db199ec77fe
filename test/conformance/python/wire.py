"""Protocol buffers by hand: as much as the cases need, so that no generated code stands between them and the wire."""


def _varint(value):
    out = bytearray()
    value &= (1 << 64) - 1
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode(*fields):
    """A message of (number, value) pairs; values are ints, bytes (also of nested messages) or strings."""
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
        else:
            raw = value.encode() if isinstance(value, str) else value
            out += _varint(number << 3 | 2) + _varint(len(raw)) + raw
    return bytes(out)


class Message:
    """The fields of an encoded message, by number."""

    def __init__(self, raw):
        self._fields = {}
        at = 0
        while at < len(raw):
            key, at = self._read(raw, at)
            if key & 7 == 0:
                value, at = self._read(raw, at)
            elif key & 7 == 2:
                size, at = self._read(raw, at)
                value, at = raw[at : at + size], at + size
            else:
                raise ValueError(f"unexpected wire type {key & 7}")
            self._fields.setdefault(key >> 3, []).append(value)

    @staticmethod
    def _read(raw, at):
        value = shift = 0
        while True:
            byte = raw[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value, at

    def number(self, field):
        return self._fields.get(field, [0])[-1]

    def bytes(self, field):
        return self._fields.get(field, [b""])[-1]

    def message(self, field):
        return Message(self.bytes(field))

    def messages(self, field):
        return [Message(raw) for raw in self._fields.get(field, [])]

    def has(self, field):
        return field in self._fields
