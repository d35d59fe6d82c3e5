"""Tokens in random layers, for test/t/057_random_shapes.pl.

    shapes.py make FILE SEED COUNT OLD NEW   writes FILE.rows (for COPY: an id, the
                                             value in hex) and FILE.recipes
    shapes.py check FILE OLD NEW             reads FILE.after, in the form of FILE.rows,
                                             and prints what became of each shape

A shape has one token or more, each encrypted with the old or the new key, in up to
three encodings, and in prefixes, quotes, documents and other tokens. `check` takes
the layers off one by one, with the libraries of Python only. It prints "bad ID" if a
layer needs the old key, "lost ID LAYER" if one cannot be taken off at all, and then
the numbers of both and of all. No value is ever printed.
"""

import base64
import binascii
import json
import random
import sys

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

DECODINGS = 3
PREFIXES = ["v1:", "enc:", "Bearer ", "\ufeff", "\u00a0", "token=", "x", "Z", "a1", "0", "--", "gAAAA", "gAAAAA",
            "{\"k\":", "'", "\"", "\u201c", "\u00ab", "`", "(", "[", "\n", "\t", " ", "\u00e9", "key ", "/", "+", "_"]
LINE_ENDS = [b"\n", b"\r\n", b"\\n", b"\\r\\n", b"\\u000a", b"\\\\n", b"%0A", b"&#10;", b"\n  ", b"\\\n"]
SUFFIXES = ["", "", "", " ", "\n", "'", "\"", "\u201d", ")", "]", ",", ";", ".", "=", "==", "x", "A", "ab", "\u00e9", "/", "&x=1"]
QUOTES = [("'", "'"), ('"', '"'), ("`", "`"), ("\u201c", "\u201d"), ("\u00ab", "\u00bb"), ('b"', '"'), ("<a>", "</a>")]


def is_text(value):
    try:
        return b"\0" not in value and value.decode() is not None
    except UnicodeDecodeError:
        return False


def put_around(rng, before, value, after):
    if not (before + after).strip():
        before = b"(" + before  # white space around a token alone goes when it is rotated
    return before + value + after, ["around", len(before), len(after)]


def add_around(rng, value, _keys):
    before = "".join(rng.choice(PREFIXES) for _ in range(rng.randrange(3))).encode()
    return put_around(rng, before, value, rng.choice(SUFFIXES).encode())


def add_noise(rng, value, _keys):
    before, after = (bytes(rng.randrange(rng.choice([0x80, 0x100])) for _ in range(rng.randrange(most))) for most in (8, 4))
    return put_around(rng, before, value, after)


def add_quotes(rng, value, _keys):
    before, after = (mark.encode() for mark in rng.choice(QUOTES))
    return before + value + after, ["around", len(before), len(after)]


def add_json(rng, value, _keys):
    if not is_text(value) or any(byte < 0x20 or byte > 0x7e for byte in value):
        return add_quotes(rng, value, _keys)
    document = {"id": rng.randrange(100), "token": value.decode(), "list": ["one", None]}
    return json.dumps(document, ensure_ascii=rng.random() < 0.5).encode(), ["json"]


def add_base64(rng, value, _keys):
    alphabet = rng.choice(["standard", "url"])
    encoded = base64.b64encode(value) if alphabet == "standard" else base64.urlsafe_b64encode(value)
    if rng.random() < 0.4:
        encoded = encoded.rstrip(b"=")
    if rng.random() < 0.4:
        width = rng.choice([1, 19, 64, 76])
        line_end = rng.choice(LINE_ENDS)
        encoded = line_end.join(encoded[i:i + width] for i in range(0, len(encoded), width))
        return encoded, ["base64", alphabet, line_end.hex()]
    if alphabet == "standard" and rng.random() < 0.2:
        return encoded.replace(b"/", b"\\/"), ["base64", alphabet, b"\\".hex()]
    return encoded, ["base64", alphabet, ""]


def add_hex(rng, value, _keys):
    encoded = binascii.hexlify(value)
    if rng.random() < 0.3:
        encoded = encoded.upper()
    before = rng.choice([b"", b"", b"\\x", b"0x"])
    return before + encoded, ["hex", len(before)]


def add_token(rng, value, keys):
    which = rng.randrange(2)
    token = keys[which].encrypt_at_time(value, rng.randrange(1500000000, 1800000000))
    return (token.rstrip(b"=") if rng.random() < 0.1 else token), ["token"]


def make_shape(rng, keys):
    value = rng.choice([b"", b"secret", rng.randbytes(40), b"{\"user\": \"me\"}"])
    value, recipe = add_token(rng, value, keys)
    recipe = [recipe]
    decodings = 0
    for _ in range(rng.randrange(6)):
        add = rng.choice([add_around, add_around, add_quotes, add_json, add_base64, add_base64, add_hex, add_token, add_noise])
        if add in (add_base64, add_hex):
            if decodings == DECODINGS:
                continue
            decodings += 1
        value, layer = add(rng, value, keys)
        recipe.append(layer)
        if len(value) > 6000:
            break
    return value, recipe


def open_token(keys, value):
    return keys.decrypt(value + b"=" * (-len(value) % 4))


def take_off(layer, value, keys):
    kind = layer[0]
    if kind == "around":
        return value[layer[1]:len(value) - layer[2]]
    if kind == "json":
        return json.loads(value)["token"].encode()
    if kind == "base64":
        line_end = binascii.unhexlify(layer[2])
        value = value.replace(line_end, b"") if line_end else value
        value += b"=" * (-len(value) % 4)
        return base64.b64decode(value, b"+/" if layer[1] == "standard" else b"-_", validate=True)
    if kind == "hex":
        return binascii.unhexlify(value[layer[1]:])
    return open_token(keys, value)


def unwrap(recipe, value, keys):
    """Returns the layer that cannot be taken off, or None."""
    for layer in reversed(recipe):
        try:
            value = take_off(layer, value, keys)
        except (InvalidToken, ValueError, TypeError, KeyError):
            return layer[0]
    return None


def make(name, seed, count, old, new):
    rng = random.Random(int(seed))
    keys = [Fernet(old), Fernet(new)]
    with open(name + ".rows", "w") as rows, open(name + ".recipes", "w") as recipes:
        for i in range(int(count)):
            value, recipe = make_shape(rng, keys)
            rows.write("%d\t\\\\x%s\n" % (i, value.hex()))
            recipes.write(json.dumps(recipe) + "\n")


def check(name, old, new):
    only_new = Fernet(new)
    both = MultiFernet([Fernet(new), Fernet(old)])
    with open(name + ".recipes") as file:
        recipes = [json.loads(line) for line in file]
    bad = lost = count = 0
    with open(name + ".after") as rows:
        for row in rows:
            number, value = row.rstrip("\n").split("\t")
            recipe = recipes[int(number)]
            value = binascii.unhexlify(value.lstrip("\\x"))
            count += 1
            if unwrap(recipe, value, only_new) is None:
                continue
            layer = unwrap(recipe, value, both)
            if layer is None:
                bad += 1
                print("bad", number)
            else:
                lost += 1
                print("lost", number, layer)
    print("count", bad, lost, count)


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](*sys.argv[2:])
