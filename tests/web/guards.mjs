/* Ended sessions and requests that other sites cause: refused, told, nothing changed. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { Person, until } from "./browser.mjs";

export const name = "sessions and cross-site requests";

async function expiry(person) {
  const { page, context } = person;
  await person.fillForm("late.example.test", ["bravo"], "late.kyr");
  await context.clearCookies();
  await page.locator("button.primary[type=submit]").click();
  await page.waitForURL(/login/);
  await person.shows(/changed nothing/); // it is said that nothing was sent
  await person.shot("session-ended");
  await person.open("/credentials?view=status");
  await page.locator("#name").fill("admin");
  await page.locator("#password").fill((await import("./browser.mjs")).password);
  await page.locator("main form button").click();
  await page.waitForURL(/view=status/); // on to where the person wanted to go
  assert.doesNotMatch(await person.text(), /late\.example/);
}

/* Signing out everywhere ends the other browser's session and its event stream. */
async function everywhere(person, other) {
  await other.signIn();
  await other.open(`/credentials/${other.lab.issued}`);
  await other.page.locator('#live-note[data-state="on"]').waitFor();
  await person.open("/sessions");
  assert.ok((await person.page.locator("tbody tr").count()) >= 2);
  await person.shot("sessions-two");
  await person.page.getByRole("button", { name: "Sign out everywhere" }).click();
  await person.page.waitForURL(/login/);
  await until("the other browser to be led to the login",
    async () => /login/.test(other.page.url()));
}

async function forged(person) {
  const { page, base } = person;
  await person.signIn();
  await person.open("/credentials/new");
  const token = await page.locator("main input[name=csrf]").inputValue();
  const send = (headers, csrf) =>
    page.request.post(`${base}/credentials`, {
      headers, maxRedirects: 0,
      form: { csrf, host_names: "forged.example.test", servers: "bravo" },
    });
  const own = { Origin: base, "Sec-Fetch-Site": "same-origin" };
  const foreign = { Origin: "https://evil.example", "Sec-Fetch-Site": "cross-site" };
  assert.equal((await send(own, "0".repeat(43))).status(), 403, "wrong token");
  assert.equal((await send(own, "")).status(), 403, "no token");
  assert.equal((await send(foreign, token)).status(), 403, "right token, wrong site");
  const api = await page.request.post(`${base}/api/v1/requests`, {
    headers: { ...foreign, "Content-Type": "application/json" },
    data: JSON.stringify({ host_names: "forged.example.test" }),
  });
  assert.equal(api.status(), 403);
  assert.equal((await api.json()).type, "urn:certmgr:problem:denied");
}

/* A page of another site that sends our form by itself: the browser keeps the cookie back. */
async function attacker(browser, person) {
  const evil = createServer((request, reply) => {
    reply.setHeader("Content-Type", "text/html");
    reply.end(`<form method="post" action="${person.base}/credentials">
      <input name="host_names" value="forged.example.test"><input name="servers" value="bravo">
      </form><script>document.forms[0].submit()</script>`);
  });
  await new Promise((done) => evil.listen(0, "127.0.0.1", done));
  const page = await person.context.newPage();
  await page.goto(`http://127.0.0.1:${evil.address().port}/`).catch(() => {});
  await page.waitForURL((url) => url.href.startsWith(person.base));
  assert.match(page.url(), /login/);
  await page.close();
  evil.close();
  await person.open("/credentials?view=host");
  assert.doesNotMatch(await person.text(), /forged/, "nothing was made");
}

export async function run(browser, lab) {
  const person = await Person.come(browser, lab);
  const other = await Person.come(browser, lab);
  await person.signIn();
  await expiry(person);
  await everywhere(person, other);
  await forged(person);
  await attacker(browser, person);
  await other.leave();
  await person.leave();
}
