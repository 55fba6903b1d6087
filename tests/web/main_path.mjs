/*
 * A person at the browser: set-up link, login, the form, errors at fields, submit, watch until
 * Issued, receipts, log out. Headless Chromium, scripts off (the pages must work without).
 *
 * usage: node main_path.mjs BASE_URL SETUP_LINK SCREENSHOT_DIR; exit 0, or 1 with the failed step.
 */
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [base, setupLink, shots] = process.argv.slice(2);
const password = "correct horse battery staple";
const profile = mkdtempSync(join(tmpdir(), "certmgr-chromium-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: "/usr/bin/chromium",
  headless: true,
  javaScriptEnabled: false,
  ignoreHTTPSErrors: true, // the identity is self-signed: a person accepts it once
  viewport: { width: 1280, height: 900 },
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const page = context.pages()[0] ?? (await context.newPage());
const foreign = [];
page.on("request", (r) => {
  if (!r.url().startsWith(base)) foreign.push(r.url());
});

let step = 0;
async function shot(name) {
  if (shots) await page.screenshot({ path: join(shots, `${++step}-${name}.png`), fullPage: true });
}

async function text(selector = "main") {
  return (await page.locator(selector).innerText()).replace(/\s+/g, " ");
}

async function setUp() {
  await page.goto(base + setupLink.slice(setupLink.indexOf("/setup")));
  await page.getByLabel(/name/i).first().fill("admin");
  const secrets = page.locator("input[type=password]");
  await secrets.nth(0).fill(password);
  await secrets.nth(1).fill(password);
  await shot("setup");
  await page.locator("main form button").first().click();
  await page.waitForURL(/credentials/); // the new administrator is signed in
  await page.getByRole("button", { name: /sign out/i }).click();
  await page.goto(`${base}/login`);
  await page.getByLabel(/name/i).first().fill("admin");
  await page.locator("input[type=password]").fill("wrong password here");
  await page.locator("main form button").first().click();
  assert.match(await text(), /password/i, "a wrong password is told");
  await page.waitForTimeout(1500); // the next try is delayed on purpose
  await page.getByLabel(/name/i).first().fill("admin");
  await page.locator("input[type=password]").fill(password);
  await page.locator("main form button").first().click();
  await page.waitForURL(/credentials/);
}

async function fillForm(names) {
  await page.goto(`${base}/credentials/new`);
  await page.locator("[name=host_names]").fill(names);
  for (const server of ["bravo", "charlie"])
    await page.locator(`input[type=checkbox][value=${server}]`).setChecked(true);
}

async function refusals() {
  await fillForm("fine.web.example\n-bad-.example\n*.wild.example");
  await page.getByRole("button", { name: /submit request/i }).click();
  const seen = await text();
  assert.match(seen, /-bad-\.example/, "the bad label is named");
  assert.match(seen, /DNS-01/i, "the wildcard is explained");
  assert.match(await page.locator("[name=host_names]").inputValue(), /fine\.web\.example/);
  assert.equal(await page.locator("[name=host_names]").getAttribute("aria-invalid"), "true");
  await shot("errors");
}

async function submit() {
  await fillForm("web.example.test\nwww.web.example.test\n日本語.example.test");
  await shot("form");
  await page.getByRole("button", { name: /submit request/i }).click();
  await page.waitForURL(/credentials\/[0-9A-Z]{26}/);
  await shot("submitted");
  const end = Date.now() + 90000;
  for (;;) {
    const seen = await text();
    if (/issued/i.test(seen) && (seen.match(/served/gi) ?? []).length >= 2) break;
    assert.ok(Date.now() < end, `still not issued and served:\n${seen}`);
    await page.waitForTimeout(500);
    await page.reload(); // what the Refresh header does by itself
  }
  const seen = await text();
  assert.match(seen, /xn--wgv71a119e\.example\.test/, "Punycode as read from the certificate");
  assert.match(seen, /日本語\.example\.test/, "and Unicode beside it");
  await shot("issued");
}

async function lists() {
  for (const view of ["host", "expiry", "status", "server"]) {
    await page.goto(`${base}/credentials?view=${view}`);
    assert.match(await text(), /web\.example\.test/, `view ${view}`);
    await shot(`list-${view}`);
  }
  for (const path of ["/servers", "/accounts", "/status"]) {
    const reply = await page.goto(base + path);
    assert.equal(reply.status(), 200, path);
    assert.ok(reply.headers()["content-security-policy"], path);
    await shot(path.slice(1));
  }
  const missing = await page.goto(`${base}/nowhere`);
  assert.equal(missing.status(), 404);
}

async function logOut() {
  await page.goto(`${base}/credentials`);
  await page.getByRole("button", { name: /log ?out|sign out/i }).click();
  await page.goto(`${base}/credentials`);
  assert.match(page.url(), /login/, "logged out");
}

let status = 0;
try {
  for (const part of [setUp, refusals, submit, lists, logOut]) {
    await part();
    console.log(`ok ${part.name}`);
  }
  assert.deepEqual(foreign, [], "requests to other origins");
} catch (error) {
  console.error(`FAILED at ${page.url()}\n${error.stack}`);
  await shot("failed").catch(() => {});
  status = 1;
}
await context.close();
process.exit(status);
