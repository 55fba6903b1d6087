"""The main job, shown: called by script/demo, which installs and builds first."""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/integration"))
import lab  # noqa: E402

NAMES = ["shop.demo.example", "www.shop.demo.example", "日本語.demo.example"]
HOLDERS = ["bravo", "charlie"]


def say(text):
    print(f"[{time.monotonic() - START:5.1f} s] {text}", flush=True)


def tell_fleet(fleet):
    say("fleet: alpha (manager) 127.0.0.11, bravo 127.0.0.12, charlie 127.0.0.13")
    fleet.start()
    taken = [line for server in fleet.server.values() for line in server.closed_listeners()]
    if taken:
        raise lab.LabError("\n".join(taken))
    # The CA asks a different server for each name: any of them answers, from its replica.
    for name, address in (("shop.demo.example", "127.0.0.12"),
                          ("www.shop.demo.example", "127.0.0.13"),
                          ("xn--wgv71a119e.demo.example", "127.0.0.11")):
        fleet.pebble.address(name, address)


def submit(fleet):
    browser = lab.Browser(fleet.manager).set_up(fleet.manager.setup_link)
    say("administrator \"admin\" made through the one-time link; the form is filled in")
    credential = browser.request(host_names="\n".join(NAMES), provider="acme", account="pebble",
                                 key_type="P-256", servers=HOLDERS, keyring_file="keyfile.kyr",
                                 renew_days="30")
    say(f"submitted: credential {credential}")
    return credential


def check(fleet, credential):
    """Every claim is looked at from outside. Returns [(what, ok, detail)]."""
    view = fleet.manager.wait_issued(credential)
    say("issued; waiting for the servers")
    view = fleet.manager.wait_receipts(credential, HOLDERS, patient=False)
    document = view["credential"]
    sealed = fleet.manager.document(f"credential:{credential}")["sealed_key"]
    rows = [("names in the certificate", sorted(document["san"]) == sorted(
        ["shop.demo.example", "www.shop.demo.example", "xn--wgv71a119e.demo.example"]),
        ", ".join(document["san"]))]
    for name in HOLDERS:
        nginx = fleet.nginx[name]
        served = lab.served_fingerprint(nginx.server.address, nginx.port, "shop.demo.example")
        rows.append((f"{name} serves it on {nginx.server.address}:{nginx.port}",
                     served == document["fingerprint"], served[:16] + "…"))
        kyr = nginx.server.data / "keyfile.kyr"
        rows.append((f"{name} holds keyfile.kyr, mode 0600",
                     kyr.exists() and kyr.stat().st_mode & 0o777 == 0o600, str(kyr)))
        rows.append((f"{name} opens the sealed key (openssl cms)",
                     nginx.server.can_open(sealed), "its seal key is a recipient"))
    alpha = fleet.manager
    rows.append(("alpha, not listed, cannot open it", not alpha.can_open(sealed),
                 "not a recipient, manager or not"))
    rows.append(("alpha has no keyring file", not list(alpha.data.iterdir()), str(alpha.data)))
    return rows


def table(rows):
    width = max(len(what) for what, _, _ in rows)
    print()
    for what, ok, detail in rows:
        print(f"  {'ok  ' if ok else 'FAIL'}  {what.ljust(width)}  {detail}")
    print(flush=True)


def stay(fleet):
    print(f"The web interface: https://127.0.0.11:8443/  (admin / {lab.PASSWORD})")
    print("Its certificate is self-signed; your browser asks once. Ctrl-C stops everything.",
          flush=True)
    try:
        while fleet.manager.process.running():
            time.sleep(1)
    except (KeyboardInterrupt, SystemExit):
        pass


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # whenever it comes, all is stopped
    with tempfile.TemporaryDirectory(prefix="certmgr-demo-") as directory:
        fleet = lab.Fleet(directory)
        try:
            tell_fleet(fleet)
            rows = check(fleet, submit(fleet))
            table(rows)
            good = all(ok for _, ok, _ in rows)
            say("the main job works" if good else "NOT all of it works")
            if good and "--once" not in sys.argv:
                stay(fleet)
            return 0 if good else 1
        except (lab.LabError, OSError, subprocess.SubprocessError) as error:
            print(f"demo failed: {error}", file=sys.stderr)
            return 1
        finally:
            fleet.stop()


START = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())
