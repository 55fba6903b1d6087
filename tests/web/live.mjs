/* With scripts: the page of a credential follows its steps to Issued without loading again. */
import assert from "node:assert/strict";
import { Person, until } from "./browser.mjs";

export const name = "live log";

/* Remembers how many steps were on the page after each change, and marks the first of them. */
function watch() {
  const list = document.querySelector("ol.steps");
  window.counts = [list.children.length];
  if (list.firstElementChild) list.firstElementChild.marked = true;
  new MutationObserver(() => {
    window.counts.push(list.children.length);
    if (list.firstElementChild) list.firstElementChild.marked ??= true;
  }).observe(list, { childList: true });
}

async function follow(person, lab) {
  const { page } = person;
  await person.fillForm("live.example.test\n例え.example.test", ["alpha"], "live.kyr");
  let credential;
  process.kill(lab.caPid, "SIGSTOP"); // until we look, however long the page takes to come
  try {
    credential = await person.submit();
    await page.evaluate(watch);
  } finally {
    process.kill(lab.caPid, "SIGCONT");
  }
  const loads = [];
  page.on("load", () => loads.push(page.url()));
  await page.locator('#live-note[data-state="on"]').waitFor();
  await person.shot("live-moving");
  await until("issued and the receipt of the server", async () =>
    (/issued/i.test(await person.text(".badges")) &&
      /deployed/i.test(await person.text('[data-part="servers"]'))) || person.text());
  const counts = await page.evaluate(() => window.counts);
  assert.deepEqual(loads, [], "the page was never loaded again");
  assert.ok(counts.length >= 2 && counts[0] < counts.at(-1), `the log moved: ${counts}`);
  assert.ok(counts.at(-1) >= 6, `steps: ${counts}`);
  assert.equal(await page.evaluate(() => document.querySelector("ol.steps li").marked), true,
    "steps are added, not written anew");
  assert.match(await person.text(), /CN=|Pebble/, "the certificate has appeared");
  assert.match(await person.text(), /History/);
  await person.shot("live-issued");
  return credential;
}

/*
 * The switch stops and starts it, also what is on its way: the page that the retry makes the module
 * fetch is held back until the person has paused.
 */
async function pause(person, credential) {
  const { page } = person;
  const note = page.locator("#live-note");
  let asked, go;
  const fetched = new Promise((done) => (asked = done));
  const paused = new Promise((done) => (go = done));
  const here = (url) => url.href === page.url();
  await page.route(here, async (route) => {
    asked();
    await paused;
    await route.continue();
  });
  const reply = await page.request.post(`${person.base}/api/v1/credentials/${credential}/retry`,
    { headers: { Origin: person.base, "Content-Type": "application/json" }, data: "{}" });
  assert.equal(reply.status(), 204, await reply.text());
  await fetched;
  const before = await person.text();
  await note.getByRole("button", { name: "Pause" }).click();
  assert.match(await note.innerText(), /paused/);
  const served = page.waitForResponse((response) => here(new URL(response.url())));
  go();
  await (await served).finished();
  await page.waitForTimeout(800);
  assert.doesNotMatch(await person.text('[data-part="history"]'), /another attempt/i,
    `nothing moves while paused: ${before}`);
  await page.unroute(here);
  await note.getByRole("button", { name: "Resume" }).click();
  await until("what happened meanwhile", async () =>
    /another attempt/i.test(await person.text('[data-part="history"]')));
}

/* The front of the server dies: the page says so, and goes on when the next one is up. */
async function reconnect(person, lab) {
  const note = person.page.locator("#live-note");
  process.kill(lab.frontPid, "SIGKILL");
  await person.page.locator('#live-note[data-state="lost"]').waitFor();
  assert.match(await note.innerText(), /connection is lost/);
  await person.page.locator('#live-note[data-state="on"]').waitFor();
}

export async function run(browser, lab) {
  const person = await Person.come(browser, lab);
  await person.signIn();
  const credential = await follow(person, lab);
  await pause(person, credential);
  await reconnect(person, lab);
  await person.leave();
}
