#!/usr/bin/env python3
"""Checks proofs of events: check_proof.py KEY PROOF...

Python's standard library and three pages: c2sp.org/tlog-proof, c2sp.org/signed-note, RFC 8032. It shares no code with
Assay. Exit code 0: all of them hold.
"""
import base64
import binascii
import hashlib
import sys

# Ed25519, as RFC 8032, section 5.1, has it.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def recover(y, sign):
    if y >= P:
        raise ValueError("no point")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        raise ValueError("no point")
    return P - x if x & 1 != sign else x


def point(data):
    number = int.from_bytes(data, "little")
    y, sign = number & ((1 << 255) - 1), number >> 255
    x = recover(y, sign)
    return (x, y, 1, x * y % P)


def add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(times, p):
    result = (0, 1, 1, 0)
    while times:
        if times & 1:
            result = add(result, p)
        p = add(p, p)
        times >>= 1
    return result


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = recover(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def signed(key, message, signature):
    if len(key) != 32 or len(signature) != 64:
        return False
    a, r, s = point(key), point(signature[:32]), int.from_bytes(signature[32:], "little")
    if s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    left, right = multiply(s, BASE), add(r, multiply(k, a))
    same = lambda i: (left[i] * right[2] - right[i] * left[2]) % P == 0
    return same(0) and same(1)


def decoded(text):
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("base64 that is not canonical")
    return data


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaf, index, size, hashes):
    """RFC 9162, section 2.1.3.2."""
    first, last, root = index, size - 1, leaf
    for each in hashes:
        if last == 0:
            raise ValueError("too many hashes")
        if first & 1 or first == last:
            root = node(each, root)
            while not first & 1 and first:
                first >>= 1
                last >>= 1
        else:
            root = node(root, each)
        first >>= 1
        last >>= 1
    if last:
        raise ValueError("too few hashes")
    return root


def check(key, text):
    name, key_id, key_bytes = key.split("+", 2)
    key_bytes = decoded(key_bytes)
    if key_bytes[0] != 1 or hashlib.sha256(name.encode() + b"\n" + key_bytes).hexdigest()[:8] != key_id:
        raise ValueError("no key of Ed25519")
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    if lines[0] != "c2sp.org/tlog-proof@v1" or lines[1][:6] != "extra " or lines[2][:6] != "index ":
        raise ValueError("no proof")
    event, index = decoded(lines[1][6:]), int(lines[2][6:])
    if lines[2][6:] != str(index):
        raise ValueError("no number")
    body, blank, signatures = note.partition("\n\n")
    origin, size, root = body.split("\n")
    if not blank or origin != name or str(int(size)) != size or not 0 <= index < int(size):
        raise ValueError("another chain, or beyond its checkpoint")
    if not signatures.endswith("\n"):
        raise ValueError("a signature that is cut")
    good = 0
    for line in signatures[:-1].split("\n"):
        dash, signer, signature = line.split(" ")
        if dash != "\u2014":
            raise ValueError("no signature")
        signature = decoded(signature)
        if signer == name and signature[:4].hex() == key_id:
            if not signed(key_bytes[1:], body.encode() + b"\n", signature[4:]):
                raise ValueError("a signature that does not hold")
            good += 1
    if good == 0:
        raise ValueError("not signed by that key")
    leaf = hashlib.sha256(b"\x00" + event).digest()
    if root_of(leaf, index, int(size), [decoded(line) for line in lines[3:]]) != decoded(root):
        raise ValueError("another root")


def main():
    hold = 0
    for path in sys.argv[2:]:
        try:
            with open(path, "rb") as file:
                check(sys.argv[1], file.read().decode("utf-8"))
            hold += 1
        except (ValueError, IndexError, binascii.Error) as error:
            print(f"{path}: {error}")
    print(f"{hold} hold, {len(sys.argv) - 2 - hold} do not")
    return 0 if hold == len(sys.argv) - 2 else 1


if __name__ == "__main__":
    sys.exit(main())
