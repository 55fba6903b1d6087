/* Without a mouse: sign in, skip link, the form, an error, submit, and back to the list. */
import assert from "node:assert/strict";
import { Person, password, until } from "./browser.mjs";

export const name = "keyboard only";

/* Presses Tab until this element has the focus, which must be visible each time. */
async function tabTo(page, selector, limit = 60) {
  for (let i = 0; i < limit; i++) {
    await page.keyboard.press("Tab");
    const state = await page.evaluate((wanted) => {
      const at = document.activeElement;
      const style = getComputedStyle(at);
      const shown = style.outlineStyle !== "none" || style.boxShadow !== "none";
      return { there: at.matches(wanted), shown, what: at.outerHTML.slice(0, 120) };
    }, selector);
    if (!state.what.startsWith("<body"))
      assert.ok(state.shown, `the focus cannot be seen on ${state.what}`);
    if (state.there) return;
  }
  assert.fail(`Tab does not lead to ${selector}`);
}

export async function run(browser, lab) {
  const person = await Person.come(browser, lab);
  const { page } = person;
  const { keyboard } = page;
  await person.open("/credentials/new"); // leads to the login and back here
  await tabTo(page, "#name");
  await keyboard.type("admin");
  await keyboard.press("Tab");
  await keyboard.type(password);
  await keyboard.press("Enter");
  await page.waitForURL(/credentials\/new/);
  await keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await keyboard.press("Enter");
  await tabTo(page, "#host_names");
  await keyboard.type("keys.example.test");
  await tabTo(page, "button[type=submit].primary");
  await keyboard.press("Enter"); // no server chosen
  await page.locator(".summary").waitFor();
  await until("the summary to have the focus", () =>
    page.evaluate(() => document.activeElement.className === "summary"));
  await keyboard.press("Tab");
  assert.match(await page.evaluate(() => document.activeElement.getAttribute("href")), /^#servers/);
  await keyboard.press("Enter"); // to the field
  await tabTo(page, "input[value=bravo]");
  await keyboard.press("Space");
  await tabTo(page, "#keyring_file");
  await keyboard.press("Control+A");
  await keyboard.type("keys.kyr");
  await keyboard.press("Enter");
  await page.waitForURL(/credentials\/[0-9A-Z]{26}/);
  assert.match(await person.text("h1"), /keys\.example\.test/);
  await tabTo(page, "#live-note button");
  await keyboard.press("Enter");
  await person.shows(/paused/, "#live-note");
  await person.leave();
}
