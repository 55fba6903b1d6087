"""The keys and certificates of the fake CA: root, intermediate, TLS identity, leaves (openssl CLI)."""

import base64
import os
import re
import subprocess
import threading
from pathlib import Path

EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
LEAF = ("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\n"
        "extendedKeyUsage=serverAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")


def openssl(*args, data=None):
    done = subprocess.run(["openssl", *map(str, args)], input=data, capture_output=True,
                          check=False)
    if done.returncode != 0:
        raise ValueError(done.stderr.decode(errors="replace").strip())
    return done.stdout


class Issuer:
    def __init__(self, directory):
        self.directory = d = Path(directory)
        d.mkdir(parents=True, exist_ok=True)
        self.lock = threading.Lock()
        self.leaves = 0
        self.root, self.intermediate = d / "root.pem", d / "int.pem"
        self.ca = d / "tls-ca.pem"  # what clients trust for https
        self._authority(self.root, d / "root.key", "Fake ACME root")
        self._authority(self.ca, d / "tls-ca.key", "Fake ACME TLS root")
        self._signed(d / "int", "/CN=Fake ACME intermediate", self.root, d / "root.key",
                     "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n"
                     "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
        self._signed(d / "tls", "/CN=127.0.0.1", self.ca, d / "tls-ca.key",
                     LEAF + "subjectAltName=IP:127.0.0.1,DNS:localhost\n")

    @staticmethod
    def _authority(cert, key, name):
        openssl("req", "-x509", *EC, "-keyout", key, "-out", cert, "-days", "30", "-subj",
                f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign")

    @staticmethod
    def _signed(stem, subject, ca, ca_key, extensions):
        ext = stem.with_suffix(".ext")
        ext.write_text(extensions)
        openssl("req", "-new", *EC, "-keyout", stem.with_suffix(".key"), "-out",
                stem.with_suffix(".csr"), "-subj", subject)
        openssl("x509", "-req", "-in", stem.with_suffix(".csr"), "-CA", ca, "-CAkey", ca_key,
                "-set_serial", f"0x{os.urandom(8).hex()}", "-days", "30", "-extfile", ext, "-out",
                stem.with_suffix(".pem"))

    @staticmethod
    def csr_names(der):
        """The DNS names a CSR asks for; ValueError when its signature is not its key's."""
        done = subprocess.run(["openssl", "req", "-inform", "DER", "-verify", "-noout", "-text",
                               "-nameopt", "multiline,utf8"], input=der, capture_output=True,
                              check=False)
        text = done.stdout.decode(errors="replace")
        if b"verify OK" not in done.stderr:  # its status is 0 whatever the signature is
            raise ValueError(done.stderr.decode(errors="replace").strip())
        names = re.findall(r"DNS:([^,\s]+)", text)
        common = re.search(r"commonName\s*=\s*(\S+)", text)
        return set(n.lower() for n in names + ([common.group(1)] if common else []))

    @staticmethod
    def certid(pem):
        """RFC 9773 4.1, from what openssl prints."""
        text = openssl("x509", "-noout", "-serial", "-ext", "authorityKeyIdentifier",
                       data=pem.encode()).decode()
        serial = bytes.fromhex(re.search(r"serial=([0-9A-F]+)", text).group(1))
        key = bytes.fromhex(re.search(r"((?:[0-9A-F]{2}:){19}[0-9A-F]{2})", text).group(1)
                            .replace(":", ""))
        serial = b"\0" + serial if serial[0] & 0x80 else serial  # as DER writes it
        return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=")
                        for part in (key, serial))

    def other_csr(self, names):
        """A CSR of a key that nobody asked for."""
        return openssl("req", "-new", *EC, "-keyout", os.devnull, "-subj", "/", "-addext",
                       "subjectAltName=" + ",".join(f"DNS:{n}" for n in names), "-outform", "DER")

    @staticmethod
    def csr_key_type(der):
        text = openssl("req", "-inform", "DER", "-noout", "-text", data=der).decode()
        return "RSA" if "rsaEncryption" in text else "EC"

    def leaf(self, csr, names, ocsp=None):
        """PEM of a leaf for the CSR's key; ocsp: URL of its responder."""
        with self.lock:
            self.leaves += 1
            stem = self.directory / f"leaf{self.leaves}"
        stem.with_suffix(".ext").write_text(
            LEAF + (f"authorityInfoAccess=OCSP;URI:{ocsp}\n" if ocsp else "") +
            "subjectAltName=critical," + ",".join(f"DNS:{n}" for n in sorted(names)) + "\n")
        return openssl("x509", "-req", "-inform", "DER", "-CA", self.intermediate, "-CAkey",
                       self.directory / "int.key", "-set_serial", f"0x{os.urandom(8).hex()}",
                       "-days", "90", "-extfile", stem.with_suffix(".ext"), "-subj", "/",
                       data=csr).decode()
