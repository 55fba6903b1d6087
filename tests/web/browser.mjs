/*
 * What all scenarios share: one headless Chromium, contexts of their own, signing in, screenshots,
 * axe-core.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
export const password = "correct horse battery staple";

export async function launch() {
  return chromium.launch({
    executablePath: "/usr/bin/chromium",
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/* One person: base URL, context, page; foreign requests, console errors and CSP reports are kept. */
export class Person {
  static async come(browser, lab, options = {}) {
    const person = new Person();
    person.lab = lab;
    person.base = lab.base;
    person.context = await browser.newContext({
      ignoreHTTPSErrors: true, // the identity is self-signed: a person accepts it once
      viewport: { width: 1280, height: 900 },
      locale: "en-GB",
      ...options,
    });
    person.context.setDefaultTimeout(60000); // a busy machine is slow, not broken
    person.page = await person.context.newPage();
    person.foreign = [];
    person.complaints = [];
    person.page.on("request", (r) => {
      if (!r.url().startsWith(lab.base)) person.foreign.push(r.url());
    });
    person.page.on("console", (m) => {
      if (/Content Security Policy|Refused to/.test(m.text())) person.complaints.push(m.text());
    });
    person.page.on("pageerror", (e) => person.complaints.push(String(e)));
    return person;
  }

  async leave() {
    assert.deepEqual(this.foreign, [], "requests to other origins");
    assert.deepEqual(this.complaints, [], "broken scripts or policy");
    await this.context.close();
  }

  async shot(name) {
    if (!this.lab.shots) return;
    await this.page.screenshot({ path: join(this.lab.shots, `${name}.png`), fullPage: true });
  }

  async text(selector = "main") {
    return (await this.page.locator(selector).first().innerText()).replace(/\s+/g, " ");
  }

  /* Waits for this text: a click has been heard before the page that it leads to is there. */
  async shows(pattern, selector = "main") {
    await until(`${pattern} in ${selector}`, async () => {
      const text = await this.text(selector).catch(String); // no page between two loads
      return pattern.test(text) || text;
    });
  }

  async open(path) {
    return this.page.goto(this.base + path);
  }

  async signIn(secret = password) {
    await this.open("/login");
    await this.page.locator("#name").fill("admin");
    await this.page.locator("#password").fill(secret);
    await this.page.locator("main form button").click();
    if (secret === password) await this.page.waitForURL((url) => url.pathname !== "/login");
  }

  async fillForm(names, servers = ["bravo", "charlie"], file = "") {
    await this.open("/credentials/new");
    await this.page.locator("#host_names").fill(names);
    if (file) await this.page.locator("#keyring_file").fill(file);
    for (const server of servers)
      await this.page.locator(`input[type=checkbox][value=${server}]`).setChecked(true);
  }

  async submit() {
    await this.page.locator("button.primary[type=submit]").click();
    await this.page.waitForURL(/credentials\/[0-9A-Z]{26}/);
    return this.page.url().split("/").pop().split("?")[0];
  }

  /* axe-core on the page at hand; also the colours of the dark scheme. */
  async axe(what) {
    await this.page.evaluate(axeSource);
    const run = (runOnly) =>
      this.page.evaluate(async (options) => (await axe.run(document, options)).violations,
        { runOnly, resultTypes: ["violations"], preload: false });
    const found = await run({ type: "tag", values: RULES });
    await this.page.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
    found.push(...(await run({ type: "rule", values: ["color-contrast"] })));
    await this.page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
    const told = found.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.html}\n    ${n.failureSummary}`));
    assert.deepEqual(told, [], `axe-core on ${what}`);
  }
}

export async function until(what, check, ms = 90000, pause = 200) {
  const end = Date.now() + ms;
  for (;;) {
    const result = await check();
    if (result === true) return;
    assert.ok(Date.now() < end, `waited ${ms / 1000} s for ${what}; seen: ${result}`);
    await new Promise((done) => setTimeout(done, pause));
  }
}
