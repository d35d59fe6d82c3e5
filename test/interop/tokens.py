"""Makes tokens from their parts, right and wrong ones.

This follows the Fernet spec with a cipher and an HMAC, and none of the libraries
that are compared: it can make what they never would.
"""

import base64
import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK = 16
HMAC = 32
HEADER = 1 + 8 + BLOCK
VERSION = 0x80


def encode(data):
    return base64.urlsafe_b64encode(data)


def decode(text):
    """Decodes what `encode` has made, or that without its padding."""
    digits = text.rstrip(b"=")
    return base64.urlsafe_b64decode(digits + b"=" * (-len(digits) % 4))


def pad(plaintext):
    """PKCS #7."""
    size = BLOCK - len(plaintext) % BLOCK
    return plaintext + bytes([size]) * size


def encrypt_blocks(key, iv, blocks):
    encryptor = Cipher(algorithms.AES(key[16:]), modes.CBC(iv)).encryptor()
    return encryptor.update(blocks) + encryptor.finalize()


def decrypt_blocks(key, iv, blocks):
    decryptor = Cipher(algorithms.AES(key[16:]), modes.CBC(iv)).decryptor()
    return decryptor.update(blocks) + decryptor.finalize()


def sign(key, signed):
    """Appends the HMAC."""
    return signed + hmac.new(key[:16], signed, hashlib.sha256).digest()


def header(timestamp, iv, version=VERSION):
    return bytes([version]) + timestamp.to_bytes(8, "big") + iv


def seal(key, timestamp, iv, plaintext):
    """The token of a plaintext, in bytes."""
    return sign(key, header(timestamp, iv) + encrypt_blocks(key, iv, pad(plaintext)))


def parts(text):
    """The timestamp and the IV of a token."""
    data = decode(text)
    return int.from_bytes(data[1:9], "big"), data[9:HEADER]
