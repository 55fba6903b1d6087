"""JSON Web Signatures as a CA checks them (RFC 7515, 7518, 7638), in plain Python.

ES256, ES384 and RS256, and HS256 for account bindings. Slow as cryptography (some milliseconds a
signature) and not meant for secrets: it only ever holds public keys.
"""

import base64
import hashlib
import hmac
import json
import re

ALPHABET = re.compile(r"[A-Za-z0-9_-]*\Z")


class JoseError(Exception):
    """kind = ACME problem type."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    """Strict: no padding, no other alphabet (RFC 8555 6.1)."""
    if not isinstance(text, str) or not ALPHABET.match(text) or len(text) % 4 == 1:
        raise JoseError("malformed", "not base64url without padding")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Curve:
    """A NIST curve; a = -3; points in Jacobian coordinates (None = infinity)."""

    def __init__(self, size, p, b, n, gx, gy, digest):
        self.size, self.p, self.b, self.n, self.g, self.digest = size, p, b, n, (gx, gy, 1), digest

    def holds(self, x, y):
        p = self.p
        return 0 <= x < p and 0 <= y < p and (y * y - (x * x * x - 3 * x + self.b)) % p == 0

    def double(self, point):
        if point is None:
            return None
        p = self.p
        x, y, z = point
        yy = y * y % p
        s = 4 * x * yy % p
        zz = z * z % p
        m = 3 * (x - zz) * (x + zz) % p
        nx = (m * m - 2 * s) % p
        return nx, (m * (s - nx) - 8 * yy * yy) % p, 2 * y * z % p

    def add(self, a, b):
        if a is None or b is None:
            return a or b
        p = self.p
        z1, z2 = a[2] * a[2] % p, b[2] * b[2] % p
        u1, u2 = a[0] * z2 % p, b[0] * z1 % p
        s1, s2 = a[1] * z2 * b[2] % p, b[1] * z1 * a[2] % p
        if u1 == u2:
            return self.double(a) if s1 == s2 else None
        h, r = (u2 - u1) % p, (s2 - s1) % p
        hh = h * h % p
        hhh, v = h * hh % p, u1 * hh % p
        x = (r * r - hhh - 2 * v) % p
        return x, (r * (v - x) - s1 * hhh) % p, h * a[2] * b[2] % p

    def verify(self, x, y, message, signature):
        if len(signature) != 2 * self.size:
            return False
        r = int.from_bytes(signature[:self.size], "big")
        s = int.from_bytes(signature[self.size:], "big")
        if not (0 < r < self.n and 0 < s < self.n and self.holds(x, y)):
            return False
        w = pow(s, -1, self.n)
        u1 = int.from_bytes(self.digest(message).digest(), "big") * w % self.n
        u2 = r * w % self.n
        key = (x, y, 1)
        both, sum_ = self.add(self.g, key), None
        for bit in range(max(u1.bit_length(), u2.bit_length()) - 1, -1, -1):
            sum_ = self.double(sum_)
            pair = (u1 >> bit & 1, u2 >> bit & 1)
            if pair != (0, 0):
                sum_ = self.add(sum_, {(1, 0): self.g, (0, 1): key, (1, 1): both}[pair])
        if sum_ is None:
            return False
        z = pow(sum_[2], -1, self.p)
        return sum_[0] * z * z % self.p % self.n == r


P256 = Curve(32, 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffff,
             0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b,
             0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551,
             0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296,
             0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5, hashlib.sha256)
P384 = Curve(48, 2**384 - 2**128 - 2**96 + 2**32 - 1,
             0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef,
             0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973,
             0xaa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7,
             0x3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f,
             hashlib.sha384)
CURVES = {"ES256": ("P-256", P256), "ES384": ("P-384", P384)}
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")  # RFC 8017 9.2 note 1


def number(jwk, member):
    return int.from_bytes(unb64(jwk.get(member)), "big")


def rs256(jwk, message, signature):
    n, e = number(jwk, "n"), number(jwk, "e")
    size = (n.bit_length() + 7) // 8
    if n.bit_length() < 2048 or len(signature) != size:
        return False
    want = SHA256_INFO + hashlib.sha256(message).digest()
    want = b"\0\1" + b"\xff" * (size - len(want) - 3) + b"\0" + want
    return pow(int.from_bytes(signature, "big"), e, n).to_bytes(size, "big") == want


def verify(alg, jwk, message, signature):
    """Raises JoseError unless the signature is one of this key."""
    if alg == "RS256" and jwk.get("kty") == "RSA":
        good = rs256(jwk, message, signature)
    elif alg in CURVES and jwk.get("kty") == "EC" and jwk.get("crv") == CURVES[alg][0]:
        curve = CURVES[alg][1]
        if any(len(unb64(jwk.get(m))) != curve.size for m in "xy"):  # RFC 7518 6.2.1.2
            raise JoseError("badPublicKey", "coordinates of the wrong length")
        good = curve.verify(number(jwk, "x"), number(jwk, "y"), message, signature)
    else:
        raise JoseError("badSignatureAlgorithm", f"algorithm {alg} with this key")
    if not good:
        raise JoseError("malformed", "the signature does not verify")


def thumbprint(jwk):
    """RFC 7638: required members in lexical order, no white space."""
    members = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}.get(jwk.get("kty"))
    if not members or any(not isinstance(jwk.get(m), str) for m in members):
        raise JoseError("badPublicKey", "not an EC or RSA key")
    text = json.dumps({m: jwk[m] for m in members}, separators=(",", ":"), sort_keys=True)
    return b64(hashlib.sha256(text.encode()).digest())


def public_bytes(jwk):
    """Bytes that occur in any DER of this public key."""
    return unb64(jwk["x"]) + unb64(jwk["y"]) if jwk["kty"] == "EC" else unb64(jwk["n"])


class Jws:
    """A flattened JWS (RFC 8555 6.2), parsed but not yet verified."""

    def __init__(self, data):
        try:
            body = json.loads(data)
        except ValueError:
            raise JoseError("malformed", "the request is not JSON") from None
        if not isinstance(body, dict) or set(body) != {"protected", "payload", "signature"}:
            raise JoseError("malformed", "not a flattened JWS with these three members alone")
        try:
            self.head = json.loads(unb64(body["protected"]))
            self.payload_bytes = unb64(body["payload"])
            self.payload = json.loads(self.payload_bytes) if self.payload_bytes else None
        except ValueError:
            raise JoseError("malformed", "header or payload is not JSON") from None
        self.signature = unb64(body["signature"])
        self.message = f"{body['protected']}.{body['payload']}".encode()
        if not isinstance(self.head, dict) or "b64" in self.head or "crit" in self.head:
            raise JoseError("malformed", "the protected header cannot be used")

    def verify(self, jwk):
        if not isinstance(jwk, dict):
            raise JoseError("badPublicKey", "the key is not a JSON object")
        verify(self.head.get("alg"), jwk, self.message, self.signature)

    def verify_mac(self, key):
        if self.head.get("alg") != "HS256" or not hmac.compare_digest(
                hmac.new(key, self.message, hashlib.sha256).digest(), self.signature):
            raise JoseError("malformed", "the binding's MAC does not verify")
