"""The cases: tokens and keys, right ones and ones with a single thing wrong.

Each kind of case has a name, which differences.md uses, and says what pg_fernet
does with it. Everything random comes from the seed, the kind and the number of
the case within its kind, so that a case is the same however many there are.
"""

import base64
import random
from dataclasses import dataclass
from typing import Optional

import tokens
from tokens import BLOCK, HEADER, HMAC

OPENED, REFUSED = "opened", "refused"

MIB = 1 << 20
DIGITS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
SPACES = (b" ", b"\t", b"  ", b"\v", b"\f", b" \t ")
LINE_ENDS = (b"\n", b"\r\n", b"\r", b"\n\n")
JUNK = tuple(bytes([c]) for c in b"!\"#$%&'()*,.:;<>?@[]\\^`{|}~\x01\x7f")
NOT_ASCII = tuple(c.encode() for c in ("\u00fc", "\u20ac", "\u2028", "\U0001f511", "\uff21"))

# JavaScript has no later time.
LAST_OF_DATE = 8_640_000_000_000


@dataclass
class Case:
    kind: str
    index: int  # within its kind
    expected: str  # what pg_fernet does
    keys: list  # as text, in bytes
    key_index: int  # which of them opens it, if one does, from 1
    token: bytes
    plaintext: bytes
    ttl: Optional[int]
    at: int

    @property
    def name(self):
        return f"{self.kind} #{self.index}"


class Draw:
    """What random values cases are made of."""

    def __init__(self, seed, kind, index):
        self.random = random.Random(f"{seed}/{kind}/{index}")
        self.index = index
        self.keys = [self.bytes(32)]
        self.iv = self.bytes(BLOCK)
        self.timestamp = self.random.randrange(1_000_000_000, 1_700_000_000)
        self.at = self.timestamp + self.random.randrange(0, 10**self.random.randrange(1, 8))
        self.plaintext = self.text(self.size())

    def bytes(self, size):
        return self.random.getrandbits(8 * size).to_bytes(size, "big") if size else b""

    def size(self):
        how = self.random.random()
        if how < 0.6:
            return self.random.randrange(0, 4 * BLOCK + 2)
        if how < 0.9:
            return max(0, BLOCK * self.random.randrange(0, 313) + self.random.choice((-1, 0, 1)))
        return self.random.randrange(0, 5001)

    def text(self, size):
        """Text of so many bytes in UTF-8."""
        result = b""
        while len(result) < size:
            rest = size - len(result)
            piece = self.random.choice(("a", "Z", "=", "'", "\n", "\0", "\u00fc", "\u20ac", "\U0001f511")).encode()
            ascii_run = bytes(self.random.choices(range(32, 127), k=min(rest, self.random.randrange(1, 200))))
            result += piece if len(piece) <= rest and self.random.random() < 0.5 else ascii_run
        return result

    def key(self):
        return self.keys[0]

    def data(self):
        """The token in bytes."""
        return tokens.seal(self.key(), self.timestamp, self.iv, self.plaintext)

    def token(self):
        return tokens.encode(self.data())

    def with_padding(self, count=None):
        """Changes the plaintext to one whose token ends with '=', so many times
        if it is said how many, and returns that token."""
        wanted = self.random.choice((1, 2)) if count is None else count
        # Three blocks more or less are whole groups of base64.
        while self.token().count(b"=") != wanted:
            self.plaintext = self.text(self.size())
        return self.token()

    def within(self, text, what):
        """Puts `what` somewhere inside of `text`, but not into the '=' at its end."""
        place = self.place(len(text.rstrip(b"=")))
        return text[:place] + what + text[place:]

    def place(self, size):
        """A place in so many characters or bytes, not the first. Every second
        time it is near the start, where less can be read than a token needs."""
        return self.random.randrange(1, min(size, 40) if self.index % 2 == 0 else size)

    def choice(self, values):
        return self.random.choice(values)

    def number(self, first, last):
        return self.random.randint(first, last)

    def signed_blocks(self, blocks):
        """A genuine token of what has to be whole blocks, in any form."""
        signed = tokens.header(self.timestamp, self.iv) + tokens.encrypt_blocks(self.key(), self.iv, blocks)
        return tokens.encode(tokens.sign(self.key(), signed))


# Name: what makes the case, what pg_fernet does, and how many there are at the
# most.
KINDS = {}


def kind(name, expected, most=None):
    """Registers what makes the cases of a kind: a function of a Draw, which
    returns what is special about the case: its token, or a dictionary."""

    def register(make):
        assert name not in KINDS
        KINDS[name] = (make, expected, most)
        return make

    return register


def make_case(seed, name, index):
    make, expected, _ = KINDS[name]
    draw = Draw(seed, name, index)
    made = make(draw)
    if not isinstance(made, dict):
        made = {"token": made}
    token = made["token"] if "token" in made else draw.token()
    keys = made.get("keys", [tokens.encode(key) for key in draw.keys])
    right_key = tokens.encode(draw.key())
    key_index = keys.index(right_key) + 1 if right_key in keys else 1
    return Case(
        name, index, expected, keys, key_index, token, draw.plaintext, made.get("ttl"), made.get("at", draw.at)
    )


def make_cases(seed, per_kind):
    return [
        make_case(seed, name, index)
        for name, (_, _, most) in KINDS.items()
        for index in range(min(per_kind, most or per_kind))
    ]


# ---------------------------------------------------------------------------
# Right tokens


@kind("text", OPENED)
def _(draw):
    return draw.token()


@kind("bytes that are no text", OPENED)
def _(draw):
    draw.plaintext = draw.bytes(draw.size()) + draw.choice((b"\xff", b"\xc3", b"\xed\xa0\x80"))
    return draw.token()




@kind("text of one MiB", OPENED, most=3)
def _(draw):
    # Random text of that size would take longer than everything else.
    draw.plaintext = draw.text(1024) * 1024 + b"x" * draw.number(0, BLOCK)
    return draw.token()


# ---------------------------------------------------------------------------
# The base64 of a token


@kind("padding missing", OPENED)
def _(draw):
    return draw.with_padding().rstrip(b"=")


@kind("one '=' of two", REFUSED)
def _(draw):
    return draw.with_padding(2)[:-1]


@kind("one '=' more", REFUSED)
def _(draw):
    return draw.with_padding() + b"="


@kind("'=' where none is due", REFUSED)
def _(draw):
    return draw.with_padding(0) + b"=" * draw.number(1, 2)


@kind("'====' where none is due", REFUSED)
def _(draw):
    return draw.with_padding(0) + b"===="


@kind("'=' inside", REFUSED)
def _(draw):
    return draw.within(draw.token(), b"=" * draw.number(1, 4))


@kind("'=' in front", REFUSED)
def _(draw):
    return b"=" * draw.number(1, 4) + draw.token()


@kind("spaces before", OPENED)
def _(draw):
    return draw.choice(SPACES) + draw.token()


@kind("spaces after", OPENED)
def _(draw):
    return draw.token() + draw.choice(SPACES)


@kind("line end before", OPENED)
def _(draw):
    return draw.choice(LINE_ENDS) + draw.token()


@kind("line end after", OPENED)
def _(draw):
    return draw.token() + draw.choice(LINE_ENDS)


@kind("space inside", REFUSED)
def _(draw):
    return draw.within(draw.token(), draw.choice(SPACES))


@kind("line end inside", REFUSED)
def _(draw):
    return draw.within(draw.token(), draw.choice(LINE_ENDS))


@kind("lines of 76 characters", REFUSED)
def _(draw):
    token = draw.token()
    return b"\n".join(token[i : i + 76] for i in range(0, len(token), 76))


@kind("other character inside", REFUSED)
def _(draw):
    return draw.within(draw.token(), draw.choice(JUNK))


@kind("other character in place of one", REFUSED)
def _(draw):
    token = bytearray(draw.token())
    token[draw.place(len(token.rstrip(b"=")))] = draw.choice(JUNK)[0]
    return bytes(token)


@kind("character that is not ASCII inside", REFUSED)
def _(draw):
    return draw.within(draw.token(), NOT_ASCII[draw.index % len(NOT_ASCII)])


@kind("zero byte inside", REFUSED)
def _(draw):
    return draw.within(draw.token(), b"\0")


@kind("zero byte after", REFUSED)
def _(draw):
    return draw.token() + b"\0"


@kind("quotes around", REFUSED)
def _(draw):
    return draw.choice((b"'%s'", b'"%s"')) % draw.token()


@kind("b'' around", REFUSED)
def _(draw):
    # What str() makes of bytes in Python.
    return b"b'%s'" % draw.token()


@kind("standard alphabet", REFUSED)
def _(draw):
    # A short token may have neither character.
    while not set(draw.token()) & set(b"-_"):
        draw.iv = draw.bytes(BLOCK)
    return draw.token().replace(b"-", b"+").replace(b"_", b"/")


def with_trailing_bits(draw):
    token = draw.with_padding()
    digits = token.rstrip(b"=")
    unused = 4 if len(token) - len(digits) == 2 else 2
    last = DIGITS.index(digits[-1:]) | draw.number(1, 2**unused - 1)
    return digits[:-1] + DIGITS[last : last + 1]


@kind("trailing bits", REFUSED)
def _(draw):
    digits = with_trailing_bits(draw)
    return digits + b"=" * (-len(digits) % 4)


@kind("trailing bits, padding missing", REFUSED)
def _(draw):
    return with_trailing_bits(draw)


@kind("text after the padding", REFUSED)
def _(draw):
    after = bytes(draw.choice(DIGITS) for _ in range(draw.number(1, 12)))
    return draw.with_padding() + after


@kind("other token after the padding", REFUSED)
def _(draw):
    return draw.with_padding() + draw.token()


@kind("other token after", REFUSED)
def _(draw):
    return draw.with_padding(0) + draw.token()


@kind("one character more", REFUSED)
def _(draw):
    return draw.with_padding(0) + bytes([draw.choice(DIGITS)])


@kind("characters more", REFUSED)
def _(draw):
    return draw.with_padding(0) + bytes(draw.choice(DIGITS) for _ in range(2 + draw.index % 8))


@kind("text before", REFUSED)
def _(draw):
    return draw.choice((b"fernet:", b"enc:fernet:", b"x", b"gAAAAA", b"Bearer ")) + draw.token()


@kind("base64 of the token", REFUSED)
def _(draw):
    return tokens.encode(draw.token())


@kind("hexadecimal", REFUSED)
def _(draw):
    return draw.data().hex().encode()


# ---------------------------------------------------------------------------
# The bytes of a token, without the key


@kind("bit flipped", REFUSED)
def _(draw):
    data = bytearray(draw.data())
    data[draw.random.randrange(len(data))] ^= 1 << draw.number(0, 7)
    return tokens.encode(data)


@kind("character changed", REFUSED)
def _(draw):
    token = bytearray(draw.token())
    place = draw.random.randrange(len(token.rstrip(b"=")) - 1)
    token[place] = draw.choice([c for c in DIGITS if c != token[place]])
    return bytes(token)


@kind("two characters exchanged", REFUSED)
def _(draw):
    token = bytearray(draw.token())
    while True:
        a, b = (draw.random.randrange(len(token.rstrip(b"=")) - 1) for _ in range(2))
        if token[a] != token[b]:
            token[a], token[b] = token[b], token[a]
            return bytes(token)


@kind("block left out", REFUSED)
def _(draw):
    draw.plaintext = draw.text(draw.number(BLOCK, 20 * BLOCK))
    data = draw.data()
    at = HEADER + BLOCK * draw.random.randrange((len(data) - HEADER - HMAC) // BLOCK)
    return tokens.encode(data[:at] + data[at + BLOCK :])


@kind("bytes between", REFUSED)
def _(draw):
    data = draw.data()
    at = draw.random.randrange(1, len(data))
    return tokens.encode(data[:at] + draw.bytes(draw.number(1, 40)) + data[at:])


@kind("cut off", REFUSED)
def _(draw):
    token = draw.token()
    return token[: draw.place(len(token.rstrip(b"=")))]


@kind("bytes cut off", REFUSED)
def _(draw):
    data = draw.data()
    return tokens.encode(data[: draw.place(len(data))])


@kind("front cut off", REFUSED)
def _(draw):
    # Not such that by chance it begins with the version, as 1 in 256 does: that is
    # another kind.
    token = draw.token()
    while True:
        rest = token[draw.random.randrange(1, len(token.rstrip(b"="))) :]
        if not rest.startswith(b"g"):
            return rest


@kind("empty", REFUSED, most=1)
def _(draw):
    return b""


@kind("white space only", REFUSED, most=10)
def _(draw):
    return draw.choice(SPACES + LINE_ENDS)


@kind("random characters", REFUSED)
def _(draw):
    first = draw.choice([c for c in DIGITS if c != ord("g")])
    return bytes([first]) + bytes(draw.choice(DIGITS) for _ in range(4 * draw.number(1, 100) - 1))


@kind("random bytes after the version", REFUSED)
def _(draw):
    return tokens.encode(bytes([tokens.VERSION]) + draw.bytes(draw.number(0, 30 if draw.index % 2 == 0 else 200)))


@kind("HMAC of another key", REFUSED)
def _(draw):
    other = draw.bytes(16) + draw.key()[16:]
    return tokens.encode(tokens.sign(other, draw.data()[:-HMAC]))


@kind("HMAC of zero bytes", REFUSED)
def _(draw):
    return tokens.encode(draw.data()[:-HMAC] + bytes(HMAC))


# ---------------------------------------------------------------------------
# What only the owner of the key can make


@kind("other version, genuine", REFUSED)
def _(draw):
    version = draw.choice([v for v in range(256) if v != tokens.VERSION])
    signed = bytes([version]) + draw.data()[1:-HMAC]
    return tokens.encode(tokens.sign(draw.key(), signed))


@kind("partial block, genuine", REFUSED)
def _(draw):
    signed = draw.data()[:-HMAC]
    return tokens.encode(tokens.sign(draw.key(), signed + draw.bytes(draw.number(1, BLOCK - 1))))


@kind("no ciphertext, genuine", REFUSED)
def _(draw):
    return tokens.encode(tokens.sign(draw.key(), draw.data()[:HEADER]))


@kind("header too short, genuine", REFUSED)
def _(draw):
    return tokens.encode(tokens.sign(draw.key(), draw.data()[: draw.number(1, HEADER - 1)]))


@kind("block padding of 0, genuine", REFUSED)
def _(draw):
    blocks = tokens.pad(draw.plaintext)
    return draw.signed_blocks(blocks[:-1] + b"\0")


@kind("block padding over 16, genuine", REFUSED)
def _(draw):
    size = draw.number(BLOCK + 1, 255)
    blocks = tokens.pad(draw.text(draw.number(0, 10 * BLOCK)))
    return draw.signed_blocks(blocks[:-1] + bytes([size]))


@kind("block padding of whole blocks, genuine", REFUSED)
def _(draw):
    # Like PKCS #7 for a cipher of larger blocks.
    size = BLOCK * draw.number(2, 15)
    return draw.signed_blocks(draw.text(BLOCK * draw.number(0, 10)) + bytes([size]) * size)


@kind("block padding of unlike bytes, genuine", REFUSED)
def _(draw):
    size = draw.number(2, BLOCK)
    blocks = bytearray(draw.text(BLOCK * draw.number(0, 10) + BLOCK - size) + bytes([size]) * size)
    blocks[-draw.number(2, size)] ^= 1 << draw.number(0, 6)
    return draw.signed_blocks(bytes(blocks))


# ---------------------------------------------------------------------------
# The time


@kind("timestamp 0", OPENED)
def _(draw):
    draw.timestamp = 0
    return draw.token()


@kind("timestamp around 2^31 and 2^32", OPENED)
def _(draw):
    draw.timestamp = draw.choice((2**31, 2**32)) + draw.number(-2, 2)
    return {"at": draw.timestamp + draw.number(0, 100)}


@kind("from the future, no ttl", OPENED)
def _(draw):
    draw.timestamp = draw.at + draw.number(61, 10 ** draw.number(2, 12))
    return draw.token()


@kind("timestamp after the year 275760, no ttl", OPENED)
def _(draw):
    draw.timestamp = draw.choice((LAST_OF_DATE + 1, 2**53, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1))
    return draw.token()


def aged(draw, ttl, age):
    return {"ttl": ttl, "at": draw.timestamp + age}


def some_ttl(draw):
    return draw.number(1, 10 ** draw.number(1, 9))


@kind("within the ttl", OPENED)
def _(draw):
    ttl = some_ttl(draw)
    return aged(draw, ttl, draw.number(0, ttl))


@kind("last second of the ttl", OPENED)
def _(draw):
    ttl = some_ttl(draw)
    return aged(draw, ttl, ttl - draw.number(0, 1))


@kind("ttl over by a second", REFUSED)
def _(draw):
    ttl = some_ttl(draw)
    return aged(draw, ttl, ttl + 1)


@kind("ttl over", REFUSED)
def _(draw):
    ttl = some_ttl(draw)
    return aged(draw, ttl, ttl + draw.number(1, 10**9))


@kind("60 s ahead", OPENED)
def _(draw):
    return aged(draw, some_ttl(draw), -draw.number(59, 60))


@kind("61 s ahead", REFUSED)
def _(draw):
    return aged(draw, some_ttl(draw), -61)


@kind("far ahead", REFUSED)
def _(draw):
    return aged(draw, some_ttl(draw), -draw.number(61, 900_000_000))


@kind("ttl of 0, same second", OPENED)
def _(draw):
    return aged(draw, 0, 0)


@kind("ttl of 0, over", REFUSED)
def _(draw):
    return aged(draw, 0, draw.choice((1, draw.number(1, 10**9))))


@kind("ttl of 0, from the future", REFUSED)
def _(draw):
    return aged(draw, 0, -draw.number(61, 900_000_000))


@kind("timestamp 0 within the ttl", OPENED)
def _(draw):
    draw.timestamp = 0
    ttl = some_ttl(draw)
    return aged(draw, ttl, draw.choice((0, 1, ttl - 1, ttl)))


@kind("timestamp 0, ttl over", REFUSED)
def _(draw):
    draw.timestamp = 0
    ttl = some_ttl(draw)
    return aged(draw, ttl, ttl + 1)


@kind("timestamp 2^31 or 2^32, ttl", OPENED)
def _(draw):
    draw.timestamp = draw.choice((2**31, 2**32)) + draw.number(-2, 2)
    ttl = some_ttl(draw)
    return aged(draw, ttl, draw.choice((-60, 0, ttl)))


@kind("timestamp at the end of 64 bits, ttl", REFUSED)
def _(draw):
    # A sum of the two would start at zero again.
    draw.timestamp = 2**64 - draw.number(1, 60)
    return {"ttl": draw.number(1, 10**9)}


@kind("timestamp around 2^63, ttl", REFUSED)
def _(draw):
    draw.timestamp = 2**63 + draw.number(-60, 60)
    return {"ttl": draw.number(1, 10**9)}


@kind("expired and forged", REFUSED)
def _(draw):
    made = aged(draw, 60, draw.number(61, 10**9))
    return {**made, "token": tokens.encode(draw.data()[:-HMAC] + draw.bytes(HMAC))}


# ---------------------------------------------------------------------------
# The keys


@kind("one of several keys", OPENED)
def _(draw):
    token = draw.token()
    keys = [draw.key()] + [draw.bytes(32) for _ in range(draw.number(1, 7))]
    draw.random.shuffle(keys)
    return {"token": token, "keys": [tokens.encode(key) for key in keys]}


@kind("one of several keys, with a ttl", OPENED)
def _(draw):
    token = draw.token()
    keys = [draw.bytes(32) for _ in range(draw.number(1, 7))] + [draw.key()]
    draw.random.shuffle(keys)
    ttl = some_ttl(draw)
    return {"token": token, "keys": [tokens.encode(key) for key in keys], **aged(draw, ttl, ttl)}


@kind("keys with the same first half", OPENED)
def _(draw):
    # Both sign the token; what it is under the wrong one ends in no padding.
    draw.plaintext = draw.text(draw.number(0, BLOCK - 1))
    blocks = draw.data()[HEADER:-HMAC]
    while True:
        other = draw.key()[:16] + draw.bytes(16)
        if tokens.decrypt_blocks(other, draw.iv, blocks)[-1] > BLOCK:
            return {"keys": [tokens.encode(other), tokens.encode(draw.key())]}


@kind("none of several keys", REFUSED)
def _(draw):
    return {"keys": [tokens.encode(draw.bytes(32)) for _ in range(draw.number(2, 8))]}


@kind("another key", REFUSED)
def _(draw):
    return {"keys": [tokens.encode(draw.bytes(32))]}


@kind("halves of the key exchanged", REFUSED)
def _(draw):
    return {"keys": [tokens.encode(draw.key()[16:] + draw.key()[:16])]}


def with_key(change):
    """A case that has a right token, and what `change` makes of the key's text."""

    def make(draw):
        token = draw.token()
        return {"token": token, "keys": [change(draw, tokens.encode(draw.key()))]}

    return make


kind("key without its '='", OPENED)(with_key(lambda draw, key: key.rstrip(b"=")))
kind("key with a space around", OPENED)(
    with_key(lambda draw, key: draw.choice((b" %s", b"%s ", b"\t%s", b" %s ")) % key)
)
kind("key with a line end", OPENED)(with_key(lambda draw, key: key + draw.choice(LINE_ENDS)))
kind("key with a space inside", REFUSED)(with_key(lambda draw, key: draw.within(key, b" ")))
kind("key with a line end inside", REFUSED)(with_key(lambda draw, key: draw.within(key, draw.choice(LINE_ENDS))))
kind("key with another character inside", REFUSED)(
    with_key(lambda draw, key: draw.within(key, draw.choice([c for c in JUNK if c != b","])))
)
kind("key cut off", REFUSED)(with_key(lambda draw, key: key[: draw.number(1, 42)]))
kind("key of 31 bytes", REFUSED)(with_key(lambda draw, key: tokens.encode(draw.key()[:31])))
kind("key of 33 bytes", REFUSED)(with_key(lambda draw, key: tokens.encode(draw.key() + draw.bytes(1))))
kind("key of 16 bytes", REFUSED)(with_key(lambda draw, key: tokens.encode(draw.key()[:16])))
kind("key of 64 bytes", REFUSED)(with_key(lambda draw, key: tokens.encode(draw.key() + draw.bytes(32))))
kind("key with '=='", REFUSED)(with_key(lambda draw, key: key + b"="))
kind("text after the key", REFUSED)(
    with_key(lambda draw, key: key + bytes(draw.choice(DIGITS) for _ in range(draw.number(1, 12))))
)
kind("key in hexadecimal", REFUSED)(with_key(lambda draw, key: draw.key().hex().encode()))
kind("key in base64 twice", REFUSED)(with_key(lambda draw, key: tokens.encode(key)))
kind("empty key", REFUSED, most=1)(with_key(lambda draw, key: b""))
kind("key of other characters", REFUSED)(
    with_key(lambda draw, key: bytes(draw.choice(JUNK[:9])[0] for _ in range(44)))
)


@kind("key in the standard alphabet", REFUSED)
def _(draw):
    while not set(tokens.encode(draw.key())) & set(b"-_"):
        draw.keys = [draw.bytes(32)]
    return {"keys": [base64.b64encode(draw.key())]}


@kind("key with trailing bits", REFUSED)
def _(draw):
    token = draw.token()
    key = tokens.encode(draw.key())
    last = DIGITS.index(key[42:43]) | draw.number(1, 3)
    return {"token": token, "keys": [key[:42] + DIGITS[last : last + 1] + b"="]}


@kind("second key malformed", REFUSED)
def _(draw):
    return {"keys": [tokens.encode(draw.key()), tokens.encode(draw.bytes(31))]}


@kind("same key twice", REFUSED)
def _(draw):
    return {"keys": [tokens.encode(draw.key())] * 2}
