/*
 * A person at the browser without scripts: set-up link, login, the form, errors at fields, submit,
 * watch until Issued, receipts, log out.
 */
import assert from "node:assert/strict";
import { Person, password, until } from "./browser.mjs";

export const name = "main path without scripts";

async function setUp(person) {
  const { page, lab } = person;
  await person.open(lab.setupLink.slice(lab.setupLink.indexOf("/setup")));
  await page.locator("#name").fill("admin");
  await page.locator("#password").fill(password);
  await page.locator("#password2").fill(password);
  await person.shot("setup");
  await page.locator("main form button").click();
  await page.waitForURL(/credentials/); // the new administrator is signed in
  await person.shot("empty");
  await page.getByRole("button", { name: /sign out/i }).click();
  await page.waitForURL(/login/);
  await person.signIn("wrong password here");
  await person.shows(/password is wrong/i);
  await page.waitForTimeout(1200); // the next try is delayed on purpose
  await person.signIn();
  await page.waitForURL(/credentials/);
}

async function refusals(person) {
  const { page } = person;
  await person.fillForm("fine.web.example\n-bad-.example\n*.wild.example");
  await page.getByRole("button", { name: /submit request/i }).click();
  await person.shows(/-bad-\.example/); // the bad label is named
  await person.shows(/DNS-01/i); // the wildcard is explained
  const names = page.locator("#host_names");
  assert.equal(await names.inputValue(), "fine.web.example\n-bad-.example\n*.wild.example");
  assert.equal(await names.getAttribute("aria-invalid"), "true");
  assert.equal(await page.evaluate(() => document.activeElement.className).catch(() => "summary"),
    "summary", "the summary has the focus");
  await person.shot("errors");
}

/* Check shows the form again with what was typed, and what it found. */
async function check(person) {
  const { page } = person;
  await person.fillForm("web.example.test\n日本語.example.test");
  await page.getByRole("button", { name: /^check$/i }).click();
  await page.waitForSelector("#check-result");
  const seen = await person.text();
  assert.match(seen, /Result of the check/);
  assert.match(seen, /xn--wgv71a119e\.example\.test/);
  assert.equal(await page.locator("#host_names").inputValue(),
    "web.example.test\n日本語.example.test");
  await person.shot("checked");
}

async function issue(person) {
  const { page } = person;
  await person.fillForm("web.example.test\nwww.web.example.test\n日本語.example.test");
  await person.shot("form");
  const credential = await person.submit();
  await person.shot("submitted");
  const loads = [];
  page.on("load", () => loads.push(Date.now()));
  await until("issued and served", async () => {
    const seen = await person.text().catch(() => ""); // between two loads there is no page
    return (/issued/i.test(seen) && (seen.match(/served on the wire/gi) ?? []).length >= 2) || seen;
  });
  assert.ok(loads.length >= 1, "the page loaded itself again");
  const seen = await person.text();
  assert.match(seen, /xn--wgv71a119e\.example\.test/, "Punycode as read from the certificate");
  assert.match(seen, /日本語\.example\.test/, "and Unicode beside it");
  assert.equal(await page.locator("#live-note").isVisible(), false, "for scripts only");
  await person.shot("issued");
  return credential;
}

async function lists(person) {
  for (const view of ["host", "expiry", "status", "server"]) {
    await person.open(`/credentials?view=${view}`);
    assert.match(await person.text(), /web\.example\.test/, `view ${view}`);
    await person.shot(`list-${view}`);
  }
  for (const path of ["/servers", "/accounts", "/status", "/settings", "/sessions"]) {
    const reply = await person.open(path);
    assert.equal(reply.status(), 200, path);
    assert.match(reply.headers()["content-security-policy"], /default-src 'none'/, path);
    await person.shot(path.slice(1));
  }
  assert.equal((await person.open("/nowhere")).status(), 404);
}

export async function run(browser, lab) {
  const person = await Person.come(browser, lab, { javaScriptEnabled: false });
  await setUp(person);
  await refusals(person);
  await check(person);
  lab.issued = await issue(person);
  await lists(person);
  await person.open("/credentials");
  await person.page.getByRole("button", { name: /sign out/i }).click();
  await person.page.waitForURL(/login/);
  await person.open("/credentials");
  assert.match(person.page.url(), /login/, "logged out");
  await person.leave();
}
