"""Changes to valid inputs, by what they are made of: bytes, JSON, archives, texts.

Every function takes a `random.Random`, which may be hypothesis's own.
"""

import io
import json
import struct
import zipfile
from random import Random
from typing import Any

NUMBERS = [0, 1, -1, 2, 7, 255, 256, 65535, 65536, 1 << 31, (1 << 31) - 1, 1 << 32, (1 << 63) - 1]
NUMBERS += [1 << 63, (1 << 64) - 1, 10**12, 10**30, -(10**12), 1e300, -1e300, 1e-300, 0.5]
NUMBERS += [float("nan"), float("inf"), -float("inf")]
TEXTS = ["", "x", "\0", "\ud800", "é", "../../x", "/etc/hostname", "1", "-1", "nan", "1e999", "a:b"]
TEXTS += ["x" * 2000, "[" * 2000, '{"a":' * 2000, "9" * 5000, "lpt_envs:lpt/Maze2D-umaze-v1", "\n"]
TEXTS += ["antigravity:X-v0", "\x1b[31m", "None", "<f4", "|O", "V99999999", "Box", "bc", "hdf5"]
CHUNKS = [b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\xff" * 4, b"\0", b"\xff", b"\x80"]
WORDS = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\n",
    b"#",
    b"&a ",
    b"*a",
    b"- ",
    b"!!",
    b"(",
    b"9" * 30,
]


def value(rng: Random, depth: int = 2) -> Any:
    """Any JSON value, mostly a bad one."""
    kind = rng.randrange(8)
    if kind < 3:
        return rng.choice(NUMBERS)
    if kind < 5:
        return rng.choice(TEXTS)
    if kind == 5 or depth == 0:
        return rng.choice([None, True, False, [], {}])
    if kind == 6:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {rng.choice(TEXTS): value(rng, depth - 1) for _ in range(rng.randrange(3))}


def tree(rng: Random, record: Any) -> Any:
    """A JSON value with one to three of its parts changed, dropped, doubled or added."""
    for _ in range(rng.randint(1, 3)):
        record = _node(rng, record)
    return record


def _node(rng: Random, node: Any) -> Any:
    if isinstance(node, dict) and node and rng.random() < 0.9:
        node, key = dict(node), rng.choice(list(node))
        action = rng.randrange(12)
        if action == 0:
            del node[key]
        elif action == 1:
            node[rng.choice(TEXTS)] = value(rng)
        elif action == 2:
            node[rng.choice(TEXTS)] = node.pop(key)
        else:
            node[key] = _node(rng, node[key])
        return node
    if isinstance(node, list) and node and rng.random() < 0.8:
        node, place = list(node), rng.randrange(len(node))
        action = rng.randrange(6)
        if action == 0:
            del node[place]
        elif action == 1:
            node.insert(place, value(rng))
        else:
            node[place] = _node(rng, node[place])
        return node
    if isinstance(node, str) and node[:1] in ("{", "[") and rng.random() < 0.7:
        return json_text(rng, node)
    return value(rng)


def json_text(rng: Random, text: str) -> str:
    """JSON with changed values, or as text no longer JSON."""
    if rng.random() < 0.15:
        return raw(rng, text.encode("utf-8", "surrogatepass")).decode("latin-1")
    try:
        return json.dumps(tree(rng, json.loads(text)))
    except (ValueError, RecursionError):
        return text


def json_bytes(rng: Random, data: bytes) -> bytes:
    """As `json_text`, of bytes."""
    return json_text(rng, data.decode("utf-8", "replace")).encode("utf-8", "surrogatepass")


def raw(rng: Random, data: bytes) -> bytes:
    """Bytes with some flipped, overwritten, inserted, dropped, doubled or cut off."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        if not changed:
            return bytes(rng.choice(WORDS + CHUNKS))
        # Headers lie at the beginning: half of all changes are made there.
        most = len(changed) if rng.random() < 0.5 else min(len(changed), 512)
        place = rng.randrange(most)
        action = rng.randrange(8)
        if action < 2:
            changed[place] ^= 1 << rng.randrange(8)
        elif action == 2:
            chunk = rng.choice(CHUNKS)
            changed[place : place + len(chunk)] = chunk
        elif action == 3:
            changed[place:place] = rng.choice(WORDS + CHUNKS)
        elif action == 4:
            del changed[place : place + rng.choice([1, 2, 8, 64])]
        elif action == 5:
            changed[place:place] = changed[place : place + rng.choice([1, 8, 64, 512])]
        elif action == 6:
            size = rng.choice(["<B", "<H", "<I", "<Q"])
            number = struct.pack(size, rng.randrange(1 << (8 * struct.calcsize(size))))
            changed[place : place + len(number)] = number
        elif rng.random() < 0.3:
            del changed[place:]
    return bytes(changed)


def npy(rng: Random, data: bytes) -> bytes:
    """An .npy file whose header says something else, or with other bytes."""
    if rng.random() < 0.4 or len(data) < 12:
        return raw(rng, data)
    length = int.from_bytes(data[8:10], "little")
    header = data[10 : 10 + length].decode("latin-1").rstrip()
    words = [
        "(",
        ")",
        "9",
        "-1",
        str(rng.choice(NUMBERS)),
        "'|O'",
        "'<U99999'",
        "None",
        "True",
        "[",
    ]
    place = rng.randrange(len(header) + 1)
    header = header[:place] + rng.choice(words) + header[place + rng.randrange(3) :]
    text = header.encode("latin-1", "replace")
    return data[:8] + struct.pack("<H", len(text) & 0xFFFF) + text + data[10 + length :]


def npz(rng: Random, data: bytes) -> bytes:
    """An archive with a changed, dropped or renamed member, or with other bytes."""
    if rng.random() < 0.3:
        return raw(rng, data)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    name = rng.choice(list(members))
    action = rng.randrange(6)
    if action == 0:
        del members[name]
    elif action == 1:
        members[rng.choice(list(members))] = members[name]
    else:
        members[name] = npy(rng, members[name])
    out = io.BytesIO()
    kind = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
    with zipfile.ZipFile(out, "w", kind) as file:
        for member, content in members.items():
            file.writestr(member, content)
    return out.getvalue()


def safetensors(rng: Random, data: bytes) -> bytes:
    """A file whose header says something else, or with other bytes."""
    if rng.random() < 0.3:
        return raw(rng, data)
    length = int.from_bytes(data[:8], "little")
    header = json_bytes(rng, data[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def lines(rng: Random, data: bytes) -> bytes:
    """A text with changed lines, words or bytes."""
    if rng.random() < 0.4:
        return raw(rng, data)
    rows = data.decode("utf-8", "replace").split("\n")
    place = rng.randrange(len(rows))
    action = rng.randrange(5)
    if action == 0:
        del rows[place]
    elif action == 1:
        rows.insert(place, rng.choice(TEXTS))
    elif action == 2:
        rows[place] = rows[place] * rng.choice([2, 50])
    elif rows[place].startswith("# {"):
        rows[place] = "# " + json_text(rng, rows[place][2:])
    else:
        rows[place] = raw(rng, rows[place].encode("utf-8", "replace")).decode("latin-1")
    return "\n".join(rows).encode("utf-8", "surrogatepass")
