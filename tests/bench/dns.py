"""DNS-01 through BIND by RFC 2136: CertMgr and its peers on the same Pebble and named."""

import json
import os
import shutil
import time
import urllib.request
from pathlib import Path

import peers
from ours import lab
from lab_dns import Named

ZONE = "dns.bench.example"
NAMED_PORT, COUNTER_PORT = 29970, 29972  # not of those that the system gives to clients


class Counted(Named):
    """named that tells how many messages it got, by kind (its statistics channel)."""

    def __init__(self, directory, forwarder):
        super().__init__(directory, "127.0.0.1", NAMED_PORT, zones=[ZONE], forwarder=forwarder)

    def _config(self):
        return super()._config() + (
            f"statistics-channels {{ inet 127.0.0.1 port {COUNTER_PORT} "
            "allow { 127.0.0.1; }; };\n")

    def counts(self):
        """(queries, updates) so far."""
        url = f"http://127.0.0.1:{COUNTER_PORT}/json/v1/server"
        with urllib.request.urlopen(url, timeout=10) as reply:
            opcodes = json.load(reply)["opcodes"]
        return opcodes.get("QUERY", 0), opcodes.get("UPDATE", 0)

    def wait_clean(self, timeout=10):
        """Until the values are gone, or long enough for it."""
        end = time.monotonic() + timeout
        while self.left() and time.monotonic() < end:
            time.sleep(0.1)

    def left(self):
        """TXT values that nobody took away."""
        out = lab.run(["dig", f"@{self.address}", "-p", str(self.port), "+noall", "+answer", "-t",
                       "AXFR", ZONE])
        return sum(" TXT " in line.replace("\t", " ") for line in out.splitlines())


class DnsPeer(peers.Peer):
    def __init__(self, name, directory, pebble, named, lanes):
        super().__init__(name, directory, pebble, None, lanes)
        self.named = named
        self.nsupdate = self.directory / "nsupdate.sh"
        self.nsupdate.write_text(
            "#!/bin/sh\n# add|delete NAME VALUE\n"
            f"printf 'server 127.0.0.1 {NAMED_PORT}\\nupdate %s %s 1 TXT \"%s\"\\nsend\\n' "
            '"$1" "$2" "$3" | sed "s/^update delete \\(.*\\) 1 TXT/update delete \\1 TXT/" | '
            f"nsupdate -y hmac-sha256:{named.key_name}:{named.secret}\n")
        self.nsupdate.chmod(0o755)

    def host(self, number):
        return f"{self.name}{number}.{ZONE}"

    def script(self, name, text):
        path = self.directory / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return path


class LegoRfc2136(DnsPeer):
    kind = "rfc2136"

    def command(self, number):
        return (f"lego --path {self.directory}/l --server {self.pebble.url} -a -m a@acme.test "
                f"-k ec256 --dns {self.kind} --dns.resolvers 127.0.0.1:{NAMED_PORT} "
                f"--dns.disable-cp -d {self.host(number)} run >/dev/null 2>&1")

    def env(self):
        return dict(os.environ, LEGO_CA_CERTIFICATES=str(self.pebble.ca),
                    RFC2136_NAMESERVER=f"127.0.0.1:{NAMED_PORT}",
                    RFC2136_TSIG_ALGORITHM="hmac-sha256.", RFC2136_TSIG_KEY=self.named.key_name,
                    RFC2136_TSIG_SECRET=self.named.secret, RFC2136_TTL="1",
                    RFC2136_POLLING_INTERVAL="1", RFC2136_SEQUENCE_INTERVAL="0",
                    EXEC_PATH=str(self.hook()), EXEC_POLLING_INTERVAL="1")

    def hook(self):
        return self.nsupdate

    def issued(self, first, count):
        return sum((self.directory / f"l/certificates/{self.host(n)}.crt").exists()
                   for n in range(first, first + count))

    def register(self):
        self.run(0, 1, 1)


class LegoExec(LegoRfc2136):
    kind = "exec"

    def hook(self):
        return self.script("hook", 'case "$1" in\n'
                           f'present) exec {self.nsupdate} add "$2" "$3" ;;\n'
                           f'cleanup) exec {self.nsupdate} delete "$2" "$3" ;;\nesac\n')


class UacmeDns(DnsPeer):
    wrap, base = peers.Uacme.wrap, peers.Uacme.base
    register = peers.Uacme.register

    def __init__(self, *args):
        super().__init__(*args)
        system = Path("/etc/ssl/certs/ca-certificates.crt")
        (self.directory / "bundle.pem").write_bytes(system.read_bytes()
                                                    + self.pebble.ca.read_bytes())
        self.hook = self.script("hook", 'test "$2" = dns-01 || exit 1\ncase "$1" in\n'
                                f'begin) exec {self.nsupdate} add "_acme-challenge.$3." "$5" ;;\n'
                                f'*) exec {self.nsupdate} delete "_acme-challenge.$3." "$5" ;;\n'
                                "esac\n")

    def command(self, number):
        return f"{self.base()} -h {self.hook} issue {self.host(number)} >/dev/null 2>&1"

    def issued(self, first, count):
        return sum((self.directory / f"u/{self.host(n)}/cert.pem").exists()
                   for n in range(first, first + count))


class CertbotDns(DnsPeer):
    def __init__(self, *args):
        super().__init__(*args)
        self.ini = self.directory / "rfc2136.ini"
        self.ini.write_text("dns_rfc2136_server = 127.0.0.1\n"
                            f"dns_rfc2136_port = {NAMED_PORT}\n"
                            f"dns_rfc2136_name = {self.named.key_name}.\n"
                            f"dns_rfc2136_secret = {self.named.secret}\n"
                            "dns_rfc2136_algorithm = HMAC-SHA256\n")
        self.ini.chmod(0o600)

    def base(self, home):
        return (f"certbot --server {self.pebble.url} --config-dir {home}/etc --work-dir "
                f"{home}/work --logs-dir {home}/log -n --agree-tos -m a@acme.test --no-eff-email")

    def command(self, number):
        # a lock per configuration: processes at the same time need directories of their own
        home = f"{self.directory}/c{number}"
        return (f"cp -r {self.directory}/account {home}; {self.base(home)} certonly "
                f"--key-type ecdsa --dns-rfc2136 --dns-rfc2136-credentials {self.ini} "
                f"--dns-rfc2136-propagation-seconds 0 -d {self.host(number)} >/dev/null 2>&1")

    def env(self):
        return dict(os.environ, REQUESTS_CA_BUNDLE=str(self.pebble.ca))

    def register(self):
        lab.run([*self.base(f"{self.directory}/account").split(), "register"], env=self.env())

    def issued(self, first, count):
        return sum((self.directory / f"c{n}/etc/live/{self.host(n)}/cert.pem").exists()
                   for n in range(first, first + count))


class DehydratedDns(DnsPeer):
    def __init__(self, *args):
        super().__init__(*args)
        self.hook = self.script("hook", 'case "$1" in\n'
                                f'deploy_challenge) {self.nsupdate} add "_acme-challenge.$2." "$4" ;;\n'
                                f'clean_challenge) {self.nsupdate} delete "_acme-challenge.$2." "$4" ;;\n'
                                "esac\n")
        (self.directory / "config").write_text(
            f'CA="{self.pebble.url}"\nCHALLENGETYPE=dns-01\nKEY_ALGO=prime256v1\n'
            f'HOOK={self.hook}\nBASEDIR={self.directory}/d\n'
            f'CURL_OPTS="--cacert {self.pebble.ca}"\nAUTO_CLEANUP=no\n')

    def command(self, number):
        return (f"dehydrated -f {self.directory}/config -c -g -d {self.host(number)} "
                f"--lock-suffix NUMBER >/dev/null 2>&1")

    def register(self):
        (self.directory / "d").mkdir(exist_ok=True)
        lab.run(["dehydrated", "-f", self.directory / "config", "--register", "--accept-terms"])

    def issued(self, first, count):
        return sum((self.directory / f"d/certs/{self.host(n)}/cert.pem").exists()
                   for n in range(first, first + count))


# name: (program, class, lanes: its best)
PEERS = {"lego, rfc2136": ("lego", LegoRfc2136, 100), "lego, exec": ("lego", LegoExec, 100),
         "uacme": ("uacme", UacmeDns, 100), "certbot": ("certbot", CertbotDns, 4),
         "dehydrated": ("dehydrated", DehydratedDns, 8)}


def available():
    return [name for name, (program, _, _) in PEERS.items() if shutil.which(program)]


def make(name, directory, pebble, named):
    _, kind, lanes = PEERS[name]
    peer = kind(name.split(",")[0] + ("-exec" if "exec" in name else ""), directory, pebble, named,
                lanes)
    peer.register()
    return peer
