/*
 * Replacing a server's keys through its page: what it says before, an order that a server cannot
 * answer yet, giving up, and one that goes through while the page follows it.
 */
import assert from "node:assert/strict";
import { Person, until } from "./browser.mjs";

export const name = "rotation of a server's keys";

const stop = (pid) => process.kill(pid, "SIGSTOP");
const go = (pid) => process.kill(pid, "SIGCONT");

async function said(person) {
  const { page } = person;
  await person.open("/servers");
  await person.axe("/servers with rotations");
  await page.getByRole("link", { name: "Rotate keys of charlie" }).click();
  await person.shows(/Rotate the keys of charlie\?/, "h1");
  await person.shows(/no certificate is issued anew/);
  await person.axe("/servers/charlie/rotate");
  await person.shot("rotate-ask");
  await page.getByRole("link", { name: "Cancel" }).click();
  await page.waitForURL(/servers$/);
  await person.open("/servers/alpha/rotate");
  await person.shows(/its pages are away for a moment/);
}

async function inJapanese(browser, lab) {
  const person = await Person.come(browser, lab, { locale: "ja-JP" });
  await person.signIn();
  await person.open("/servers/charlie/rotate");
  await person.shows(/charlie の鍵を交換しています/, "h1");
  await person.shows(/指示済み/, "dl.facts");
  await person.axe("/servers/charlie/rotate, ja");
  await person.shot("rotate-ordered-ja");
  await person.leave();
}

/* charlie sleeps: the order waits for it; then the open page shows the end without a person. */
async function ordered(browser, lab, person) {
  const { page } = person;
  stop(lab.sleeper);
  try {
    await person.open("/servers/charlie/rotate");
    await page.getByRole("button", { name: "Rotate keys" }).click();
    await person.shows(/State Ordered step 1 of 5/, "dl.facts");
    await person.shows(/It waits for server charlie to hear of it/);
    await person.axe("/servers/charlie/rotate, ordered");
    await person.shot("rotate-ordered");
    await inJapanese(browser, lab);
  } finally {
    go(lab.sleeper);
  }
  await until("the open page to tell the end", async () => {
    const text = await person.text();
    return /Rotate the keys of charlie\?/.test(text) || text;
  });
  await person.open("/servers");
  assert.equal(await page.getByRole("link", { name: "Rotate keys of charlie" }).count(), 1);
}

/* The manager itself, whose agent sleeps: it is given up, and then done after all. */
async function ofItself(lab, person) {
  const { page } = person;
  stop(lab.agentPid);
  try {
    await person.open("/servers/alpha/rotate");
    await page.getByRole("button", { name: "Rotate keys" }).click();
    await person.shows(/State New keys are made step 2 of 5/, "dl.facts");
    await person.axe("/servers/alpha/rotate, keys");
    await person.shot("rotate-keys");
    await page.getByRole("button", { name: "Keep the present keys" }).click();
    await person.shows(/Given up/);
    await person.axe("/servers/alpha/rotate, given up");
  } finally {
    go(lab.agentPid);
  }
  await page.getByRole("button", { name: "Rotate keys" }).click();
  await until("alpha's keys to be replaced", async () => {
    await person.open("/servers/alpha/rotate").catch(() => null); // its front begins anew
    return /Rotated last/.test(await person.text().catch(() => "")) || person.text().catch(String);
  });
  await person.shot("rotate-done");
}

export async function run(browser, lab) {
  const person = await Person.come(browser, lab);
  await person.signIn();
  await said(person);
  await ordered(browser, lab, person);
  await ofItself(lab, person);
  await person.leave();
}
