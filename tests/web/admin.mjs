/* Accounts, settings, invitation and removal of a server, removal of a credential through their pages. */
import assert from "node:assert/strict";
import { Person, until } from "./browser.mjs";

export const name = "accounts, settings, servers";

async function accounts(person) {
  const { page } = person;
  await person.open("/accounts");
  await page.getByRole("link", { name: "Add an ACME account" }).click();
  await person.shot("account-new");
  assert.match(await page.locator("#directory").inputValue(), /acme-v02\.api\.letsencrypt\.org/);
  await page.getByRole("link", { name: /staging/ }).click();
  await until("the other preset", async () =>
    /acme-staging/.test(await page.locator("#directory").inputValue()) || page.url());
  await page.getByRole("link", { name: /Another CA/ }).click();
  await page.waitForURL(/preset=other/);
  await page.locator("#name").fill("pebble");
  await page.locator("#directory").fill("ftp://nowhere");
  await page.locator("#contacts").fill("no address");
  await page.locator("button.primary[type=submit]").click();
  await person.shows(/terms of service/i, ".summary");
  await page.locator("#terms_agreed").setChecked(true);
  await page.locator("button.primary[type=submit]").click();
  await person.shows(/one of this name already/);
  await page.locator("#name").fill("second");
  await page.locator("button.primary[type=submit]").click();
  await person.shows(/not the https/, "#directory-error");
  await person.shot("account-refused");
}

async function edit(person, other) {
  const { page } = person;
  await person.open("/accounts/pebble");
  await other.open("/accounts/pebble");
  await person.shot("account-edit");
  await page.locator("#contacts").fill("one@example.com\ntwo@example.com");
  await page.locator("button.primary[type=submit]").click();
  await page.waitForURL(/accounts$/);
  await person.shows(/one@example\.com, two@example\.com/);
  await person.shot("accounts");
  await person.open("/accounts/pebble");
  await page.getByRole("button", { name: "Deactivate", exact: true }).click();
  await person.shows(/Confirm that this account is to end/, "#sure-error");
  await person.open("/accounts");
  assert.doesNotMatch(await person.text(), /deactivated/i, "one click ends no account");
  await other.page.locator("#contacts").fill("three@example.com");
  await other.page.locator("button.primary[type=submit]").click();
  await other.shows(/Somebody else has changed it/); // no change is lost
  assert.match(await other.page.locator("#contacts").inputValue(), /three@/, "nor what was typed");
}

async function settings(person) {
  const { page } = person;
  await person.open("/settings");
  await page.locator("#renew_days").fill("0");
  await page.locator("button.primary[type=submit]").click();
  await person.shows(/1 to 365/, "#renew_days-error");
  await page.locator("#renew_days").fill("21");
  await page.locator("input[value=charlie]").setChecked(true);
  await page.locator("button.primary[type=submit]").click();
  await page.waitForURL(/saved/);
  await person.shows(/settings are saved/i);
  await person.shot("settings-saved");
  await person.open("/credentials/new");
  assert.equal(await page.locator("#renew_days").inputValue(), "21");
  assert.equal(await page.locator("input[value=charlie]").isChecked(), true);
}

async function servers(person) {
  const { page } = person;
  await person.open("/servers");
  await page.locator("#name").fill("Not A Name");
  await page.locator("main form button").click();
  await person.shows(/name/i, ".field-error");
  await page.locator("#name").fill("delta");
  await page.locator("main form button").click();
  await person.shows(/certmgr join /, "pre");
  await person.shot("invited");
  await person.open("/servers");
  await page.getByRole("link", { name: "Remove charlie" }).click();
  await person.shows(/Remove charlie from the fleet/);
  await person.shows(/web\.example\.test/); // what it has access to
  await person.shot("server-remove");
  await page.getByRole("link", { name: "Cancel" }).click();
  await page.waitForURL(/servers$/);
}

/* Renew days change at once; the names would take a new certificate, and a bad one is refused. */
async function credential(person, other) {
  const { page, lab } = person;
  await person.open(`/credentials/${lab.issued}`);
  await page.getByRole("link", { name: "Edit" }).click();
  await other.open(`/credentials/${lab.issued}/edit`);
  const names = await page.locator("#host_names").inputValue();
  assert.match(names, /日本語\.example\.test/, "as they were typed");
  await page.locator("#host_names").fill(`${names}\n-bad-.example`);
  await page.locator("button.primary[type=submit]").click();
  await person.shows(/-bad-\.example/, "#host_names-error");
  await page.locator("#host_names").fill(names);
  await page.locator("#renew_days").fill("17");
  await person.shot("credential-edit");
  await page.locator("button.primary[type=submit]").click();
  await page.waitForURL(new RegExp(`credentials/${lab.issued}$`));
  await until("the change is there", async () => {
    await person.open(`/credentials/${lab.issued}/edit`);
    return (await page.locator("#renew_days").inputValue()) === "17" || person.text();
  });
  await other.page.locator("#renew_days").fill("18");
  await other.page.locator("button.primary[type=submit]").click();
  await other.shows(/changed in the meantime/); // no change is lost
  assert.equal(await other.page.locator("#renew_days").inputValue(), "18", "nor what was typed");
}

/* Nothing is removed by one click, not even behind a revocation; what was chosen stays. */
async function removal(person) {
  const { page, lab } = person;
  await person.open(`/credentials/${lab.issued}/end`);
  await page.locator("#reason").selectOption("4");
  await page.locator("#after").selectOption("delete");
  await page.locator("section[aria-labelledby=revoke-title] button.danger").click();
  await person.shows(/Confirm that this credential is to be removed/, "#revoke_sure-error");
  assert.equal(await page.locator("#reason").inputValue(), "4");
  assert.equal(await page.locator("#after").inputValue(), "delete");
  await page.locator(".summary a[href='#revoke_sure']").click(); // leads to the box
  assert.equal(await page.locator("#revoke_sure").isChecked(), false);
  await person.shot("credential-remove-refused");
  await page.locator("section[aria-labelledby=away-title] button.danger").click();
  await person.shows(/Confirm that this credential is to be removed/, "#sure-error");
  await person.open(`/credentials/${lab.issued}`);
  assert.doesNotMatch(await person.text(), /revoked|asked to revoke/i, "one click revokes nothing");
}

export async function run(browser, lab) {
  const person = await Person.come(browser, lab);
  const other = await Person.come(browser, lab);
  await person.signIn();
  await other.signIn();
  await accounts(person);
  await edit(person, other);
  await settings(person);
  await servers(person);
  await credential(person, other);
  await removal(person);
  await other.leave();
  await person.leave();
}
