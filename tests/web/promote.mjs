/*
 * The page about the manager: nothing to promote there; on a standby what a promotion means, the
 * confirmation that it wants, and doing it. Comes last: afterwards bravo is the manager.
 */
import assert from "node:assert/strict";
import { Person, password, until } from "./browser.mjs";

export const name = "promotion of a standby";

async function onTheManager(browser, lab) {
  const person = await Person.come(browser, lab);
  await person.signIn();
  await person.open("/manager");
  await person.shows(/Server alpha is the manager\. There is nothing to promote/);
  assert.equal(await person.page.locator("main form").count(), 0);
  assert.equal(await person.page.getByRole("link", { name: "bravo" }).getAttribute("href"),
    `${lab.standby.base}/manager`);
  await person.axe("/manager, standbys listed");
  await person.shot("manager-nothing");
  await person.open("/servers");
  assert.equal(await person.page.getByRole("link", { name: "Promote bravo" }).getAttribute("href"),
    `${lab.standby.base}/manager`);
  await person.leave();
}

async function setUp(browser, standby) {
  const stranger = await Person.come(browser, standby);
  await stranger.open("/credentials"); // what is the manager's is shown there
  assert.doesNotMatch(stranger.page.url(), new RegExp(standby.base));
  await stranger.context.close();
  const person = await Person.come(browser, standby);
  await person.open("/manager");
  assert.match(person.page.url(), /\/login\?next=%2Fmanager/, "not for everybody");
  await person.open(standby.setupLink.slice(standby.setupLink.indexOf("/setup")));
  await person.page.locator("#name").fill("admin");
  await person.page.locator("#password").fill(password);
  await person.page.locator("#password2").fill(password);
  await person.page.locator("main form button").click();
  await person.page.waitForURL(/\/manager$/);
  return person;
}

async function inJapanese(browser, standby) {
  const person = await Person.come(browser, standby, { locale: "ja-JP" });
  await person.signIn();
  await person.open("/manager");
  await person.shows(/マネージャーに昇格/, "button.danger");
  await person.axe("/manager of a standby, ja");
  await person.shot("manager-standby-ja");
  await person.leave();
}

async function promote(person) {
  const { page } = person;
  await person.shows(/This server is a standby/);
  await person.shows(/Present manager alpha/, "dl.facts");
  await person.axe("/manager of a standby");
  await person.shot("manager-standby");
  await page.getByRole("button", { name: "Promote to manager" }).click();
  await person.shows(/Confirm that this server is to be the manager/);
  await person.axe("/manager, not confirmed");
  await person.shot("manager-refused");
  await page.getByLabel("I want this server to be the manager").setChecked(true);
  await page.getByRole("button", { name: "Promote to manager" }).click();
  await until("bravo to be the manager", async () => {
    await person.open("/manager").catch(() => null); // its front begins anew
    return /Server bravo is the manager/.test(await person.text().catch(() => "")) ||
      person.text().catch(String);
  });
  await person.shot("manager-promoted");
  await person.open("/credentials"); // and the pages are here now
  assert.equal(new URL(page.url()).origin, person.base);
  await person.shows(/web\.example\.test/);
}

/* The manager before is a plain server: it sends people to the new one. */
async function followed(browser, lab) {
  const person = await Person.come(browser, lab);
  await until("alpha to follow", async () => {
    await person.open("/servers").catch(() => null);
    return person.page.url().startsWith(lab.standby.base) || person.page.url();
  });
  await person.context.close();
}

export async function run(browser, lab) {
  const standby = { ...lab, ...lab.standby };
  await onTheManager(browser, lab);
  const person = await setUp(browser, standby);
  await inJapanese(browser, standby);
  await promote(person);
  await person.leave();
  await followed(browser, lab);
}
