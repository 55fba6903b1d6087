"""Notices from end to end: what fails arrives as mail and signed webhook, once; its end, too."""

import json
import re
import ssl
import time
import unittest
import urllib.request

import lab
from notice_sinks import MailRelay, Webhook

FLEET = None
RELAY = None
HOOK = None
RELAY_PORT, TLS_RELAY_PORT, HOOK_PORT = 8225, 8226, 8227
SECRET = "a secret of the laboratory 0123"


def configure(manager, **changes):
    """[notify] of the manager's configuration."""
    etc = manager.root / "etc/certmgr"
    etc.mkdir(parents=True, exist_ok=True)
    for name, text in (("hook-secret", SECRET), ("smtp-password", "pass word")):
        path = etc / name
        path.touch(mode=0o600)
        path.write_text(text + "\n")
    settings = {"mail_to": "admin@example.com night@example.com",
                "mail_from": "certmgr@alpha.example",
                "smtp_url": f"smtp://127.0.0.1:{RELAY_PORT}",
                "webhook_url": f"http://127.0.0.1:{HOOK_PORT}/hooks/token-in-path",
                "webhook_secret_file": etc / "hook-secret",
                "check_interval": 1, "deploy_after": 10, "silent_after": 10}
    settings.update(changes)
    manager.extra = "[notify]\n" + "".join(f"{k} = {v}\n" for k, v in settings.items())
    manager.configure()


def setUpModule():
    global FLEET, RELAY, HOOK
    FLEET = lab.Fleet(net=141, base=8200, http_port=5141,
                      pebble_env={"PEBBLE_VA_NOSLEEP": "1"})
    RELAY, HOOK = MailRelay(RELAY_PORT), Webhook(HOOK_PORT, SECRET)
    configure(FLEET.manager)
    FLEET.start()
    FLEET.add_account("quick", "--no-self-check")  # failures come from the CA, at once


def tearDownModule():
    FLEET.stop()
    RELAY.stop()
    HOOK.stop()


def wait_event(event, kind, part, timeout=30):
    """Waits for such an event at the webhook, and for a mail that tells the same."""
    def there():
        found = [e for e in HOOK.events(kind) if e[0] == event and part in e[2]]
        line = ("Resolved: " if event == "resolved" else "") + found[0][2] + "\n" if found else ""
        return found and any(line in re.sub("^CRITICAL  ", "", m.words, flags=re.M)
                             for m in RELAY.mails)
    lab.wait_for(f"{event} {kind} {part}", there, timeout)


def point(name, address):
    """Lets a name have this address alone."""
    body = json.dumps({"host": name + "."}).encode()
    url = f"http://127.0.0.1:{FLEET.pebble.dns_admin}/clear-a"
    urllib.request.urlopen(url, body, timeout=30).close()
    FLEET.pebble.address(name, address)


def count(event, kind, part):
    return len([e for e in HOOK.events(kind) if e[0] == event and part in e[2]])


class Notices(unittest.TestCase):
    def setUp(self):
        self.assertEqual(HOOK.refused, [])

    def test_1_test_notice(self):
        done = FLEET.manager.cli("notify", "test")
        self.assertIn("mail to admin@example.com night@example.com: sent", done.stdout)
        self.assertIn(f"webhook to http://127.0.0.1:{HOOK_PORT}: sent", done.stdout)
        self.assertNotIn("token-in-path", done.stdout)
        mail = next(m for m in RELAY.mails if m["Subject"] == "[CertMgr] Test notice")
        self.assertEqual(mail.recipients, ["admin@example.com", "night@example.com"])
        self.assertEqual(str(mail["From"]), "CertMgr <certmgr@alpha.example>")
        self.assertIn("root asked for this on server alpha", mail.words)
        self.assertTrue(any(message["test"] for message in HOOK.messages))
        self.assertEqual(HOOK.refused, [])

    def test_2_failed_order(self):
        name = "www.例え.notify.example"
        ascii_name = "www.xn--r8jz45g.notify.example"
        point(ascii_name, "127.0.0.250")  # nobody answers there
        credential = FLEET.manager.json("request", "-d", name, "-s", "bravo", "--keyring-file",
                                        "order.kyr")["credential"]
        wait_event("open", "order_failed", name, 90)
        mail = next(m for m in RELAY.mails if name in m.words)
        self.assertIn(f"Order for {name} failed", str(mail["Subject"]))
        self.assertIn(f"/credentials/{credential}", mail.words)
        for label in ("Where:", "What:", "Because:", "Since:", "Next try:", "Link:"):
            self.assertIn(label, mail.words)
        event = next(e for m in HOOK.messages for e in m["events"] if e["kind"] == "order_failed")
        self.assertEqual(event["severity"], "critical")
        self.assertEqual(event["key"], f"order:{credential}")
        self.assertTrue(event["link"].startswith(f"https://{FLEET.manager.address}:"))
        # a restart tells nothing again
        FLEET.manager.stop()
        FLEET.manager.start()
        time.sleep(4)
        self.assertEqual(count("open", "order_failed", name), 1)
        # repaired
        point(ascii_name, FLEET.manager.address)
        FLEET.manager.cli("retry", credential)
        wait_event("resolved", "order_failed", name, 90)
        self.assertEqual(count("open", "order_failed", name), 1)
        self.assertEqual(count("resolved", "order_failed", name), 1)

    def test_3_failed_deployment(self):
        bravo = FLEET.server["bravo"]
        script = FLEET.nginx["bravo"].reload_script
        right = script.read_text()
        script.write_text("#!/bin/sh\necho no licence >&2\nexit 3\n")
        FLEET.manager.json("request", "-d", "deploy.notify.example", "-s", "bravo")
        wait_event("open", "deploy_failed", "deploy.notify.example on bravo", 90)
        mail = next(m for m in RELAY.mails if "deploy.notify.example" in m.words)
        self.assertIn("server bravo", mail.words)
        script.write_text(right)
        bravo.stop()
        bravo.start()
        wait_event("resolved", "deploy_failed", "deploy.notify.example on bravo", 120)
        self.assertEqual(count("open", "deploy_failed", "deploy.notify.example"), 1)

    def test_4_silent_server(self):
        charlie = FLEET.server["charlie"]
        before = count("open", "server_silent", "bravo")  # it was away itself, slow machines longer
        charlie.stop()
        FLEET.manager.json("request", "-d", "silent.notify.example", "-s", "charlie")
        wait_event("open", "server_silent", "charlie", 60)
        wait_event("open", "deploy_failed", "silent.notify.example is not deployed on charlie", 60)
        charlie.start()
        wait_event("resolved", "server_silent", "charlie", 60)
        wait_event("resolved", "deploy_failed", "silent.notify.example", 60)
        self.assertEqual(count("open", "server_silent", "bravo"), before)

    def test_5_receiver_away(self):
        """What nobody takes waits, also over a kill, and arrives later under the same id."""
        HOOK.status = 503
        before, mails = HOOK.posts, len(RELAY.mails)
        point("away.notify.example", "127.0.0.250")
        FLEET.manager.json("request", "-d", "away.notify.example", "-s", "bravo",
                           "--keyring-file", "away.kyr")
        lab.wait_for("the first attempt", lambda: HOOK.posts > before, 90)
        lab.wait_for("the mail", lambda: len(RELAY.mails) > mails, 30)
        def failed():
            notices = FLEET.manager.json("status")["notices"]
            # the mail is away for good: only what the webhook refused waits
            return notices if notices["waiting"] == 1 and "failed" in notices else None
        notices = lab.wait_for("the failure to be shown", failed, 30)
        self.assertIn("status 503", notices["failed"]["error"])
        FLEET.manager.kill()
        HOOK.status = 204
        FLEET.manager.start()
        wait_event("open", "order_failed", "away.notify.example", 60)
        self.assertEqual(count("open", "order_failed", "away.notify.example"), 1)
        self.assertEqual(len([m for m in RELAY.mails if "away.notify.example" in m.words]), 1)

    def test_6_login_over_tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(FLEET.pebble.directory / "tls.pem",
                                FLEET.pebble.directory / "tls.key")
        relay = MailRelay(TLS_RELAY_PORT, context, {"cm": "pass word"})
        manager = FLEET.manager
        settings = {"webhook_url": "", "smtp_url": f"smtps://127.0.0.1:{TLS_RELAY_PORT}",
                    "smtp_user": "cm",
                    "smtp_password_file": manager.root / "etc/certmgr/smtp-password"}

        def attempt(**changes):
            manager.stop()
            configure(manager, **settings, **changes)
            manager.start()
            return manager.cli("notify", "test", check=False)

        done = attempt()
        self.assertEqual(done.returncode, 1)
        self.assertIn("its TLS certificate is not trusted", done.stderr)
        self.assertEqual((relay.mails, relay.logins), ([], []))
        done = attempt(ca_file=FLEET.pebble.ca)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(set(relay.logins), {("cm", True)})  # other notices may come, too
        self.assertIn("[CertMgr] Test notice", relay.subjects())
        (manager.root / "etc/certmgr/smtp-password").write_text("wrong\n")
        done = manager.cli("notify", "test", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("it refuses the login", done.stderr)
        self.assertIn("535 5.7.8", done.stderr)
        (manager.root / "etc/certmgr/smtp-password").chmod(0o644)
        done = manager.cli("notify", "test", "--json", check=False)
        self.assertEqual(done.returncode, 1)
        row = json.loads(done.stdout)["channels"][0]
        self.assertIn("is open to others", row["error"]["what"])
        relay.stop()

    def test_7_language(self):
        FLEET.manager.stop()
        configure(FLEET.manager, mail_language="ja", webhook_language="ja")
        FLEET.manager.start()
        FLEET.manager.cli("notify", "test")
        mail = next(m for m in RELAY.mails if m["Subject"] == "[CertMgr] テスト通知")
        self.assertIn("サーバー alpha で root が送信しました", mail.words)
        self.assertIn("内容: ", mail.words)
        message = next(m for m in reversed(HOOK.messages) if m["test"])
        self.assertEqual(message["language"], "ja")
        event = message["events"][0]
        self.assertEqual((event["kind"], event["title"]), ("test", "テスト通知"))

    def test_8_nothing_configured(self):
        FLEET.manager.stop()
        FLEET.manager.extra = ""
        FLEET.manager.configure().start()
        done = FLEET.manager.cli("notify", "test", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no notices are configured", done.stderr)
        self.assertIn("[notify]", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
