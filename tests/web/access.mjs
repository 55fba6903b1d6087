/* axe-core finds nothing on any page: English and Japanese, light and dark. */
import assert from "node:assert/strict";
import { Person, until } from "./browser.mjs";

export const name = "accessibility of every page";

const PATHS = [
  "/credentials?view=host", "/credentials?view=expiry", "/credentials?view=server",
  "/credentials?domain=nowhere.example", "/credentials/new", "/servers", "/servers/bravo/remove",
  "/servers/bravo/rotate", "/manager", "/accounts", "/accounts/new", "/accounts/new?preset=other",
  "/accounts/pebble", "/settings",
  "/dns-accounts", "/dns-accounts/new", "/dns-accounts/new?kind=manual",
  "/dns-recipes", "/dns-recipes/new", "/dns-recipes/desec",
  "/sessions", "/status", "/report", "/nowhere",
];

/* A credential that cannot be had: nobody answers at its address. */
async function failing(person) {
  await person.fillForm("unreachable.example.test", ["bravo"], "unreachable.kyr");
  await person.page.locator("#account").selectOption("direct"); // its CA is told at once
  const credential = await person.submit();
  await until("its error", async () =>
    (await person.page.locator(".error-object").count()) > 0 || person.text());
  return credential;
}

async function forms(person, language) {
  const { page } = person;
  await person.fillForm("-bad-.example\nb@d", []);
  await page.locator("button.primary[type=submit]").click();
  await page.locator(".summary").waitFor();
  await person.axe(`refused form, ${language}`);
  await person.fillForm("checked.example.test", ["bravo"], "checked.kyr");
  await page.locator("#account").selectOption("pebble");
  await page.locator("button[name=check]").click();
  await page.locator("#check-result").waitFor();
  await person.axe(`checked form, ${language}`);
  await person.open("/accounts/new?preset=other");
  await page.locator("#name").fill("x");
  await page.locator("#directory").fill("https://127.0.0.1/x");
  await page.locator("#http_port").fill("0");
  await page.locator("button.primary[type=submit]").click();
  await page.locator(".summary").waitFor();
  await person.axe(`refused account, ${language}`);
  await person.open(`/credentials/${person.lab.issued}/end`);
  await page.locator("#after").selectOption("delete");
  await page.locator("section[aria-labelledby=revoke-title] button.danger").click();
  await page.locator(".summary").waitFor();
  await person.axe(`refused removal, ${language}`);
}

async function pages(browser, lab, locale, language) {
  const person = await Person.come(browser, lab, { locale, reducedMotion: "reduce" });
  await person.open("/login");
  assert.equal(await person.page.locator("html").getAttribute("lang"), language);
  await person.axe(`/login, ${language}`);
  await person.open("/setup?token=used");
  await person.axe(`/setup, ${language}`);
  await person.signIn();
  for (const path of [...PATHS, `/credentials/${lab.issued}`,
    `/credentials/${lab.issued}/edit`, `/credentials/${lab.issued}/end`, `/credentials/${lab.failed}`]) {
    await person.open(path);
    assert.equal(await person.page.locator("html").getAttribute("lang"), language);
    await person.axe(`${path}, ${language}`);
    if (lab.shots) {
      const file = path.replace(/[^a-z0-9]+/gi, "-");
      await person.shot(`axe-${language}${file}`);
      await person.page.emulateMedia({ colorScheme: "dark" });
      await person.shot(`axe-${language}${file}-dark`);
      await person.page.emulateMedia({ colorScheme: "light" });
    }
  }
  await forms(person, language);
  await person.leave();
}

export async function run(browser, lab) {
  const person = await Person.come(browser, lab);
  await person.signIn();
  lab.failed = await failing(person);
  await person.leave();
  /* Side by side: two cores, and each waits for the other's server at times. */
  await Promise.all([pages(browser, lab, "en-GB", "en"), pages(browser, lab, "ja-JP", "ja")]);
}
