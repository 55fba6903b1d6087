/*
 * What the engine says is Japanese on a Japanese page: the step log as it grows, the Check, what is
 * wrong in a form, and the error of a request that failed.
 */
import assert from "node:assert/strict";
import { Person, until } from "./browser.mjs";

export const name = "the engine's words in Japanese";

/* What the engine says on the page at hand: {text, english: parts that are marked as such}. */
async function said(person, selector) {
  return person.page.locator(selector).evaluateAll((found) => found.map((element) => ({
    text: element.innerText,
    english: [element, ...element.querySelectorAll("[lang=en]")].filter((e) => e.lang === "en")
      .map((e) => e.innerText),
  })));
}

/* Names, URLs, times and the CA's words are as they are; three words of English in a row are a sentence. */
function latin(text) {
  const rest = text.replace(/https?:\/\/\S+|発行者: [^、]*|「[^」]*」|"[^"]*"|認証局の説明: .*/g, "");
  return rest.match(/\b[A-Za-z][a-z']+(?: [a-z][a-z']*){2,}\b/)?.[0];
}

async function assertJapanese(person, selector, least) {
  const all = await said(person, selector);
  assert.ok(all.length >= least, `${selector}: ${all.length} texts`);
  for (const { text, english } of all) {
    if (/^[\w.:*-]+$/.test(text)) continue; // a name alone
    if (/^unreachable\.example\.test: /.test(text)) continue; // and what the CA says of it
    assert.match(text, /[\u3040-\u30ff\u4e00-\u9fff]/, `no Japanese in: ${text}`);
    assert.deepEqual(english, [], `marked as English in: ${text}`);
    assert.equal(latin(text), undefined, `a Latin sentence in: ${text}`);
  }
}

const STEPS = "ol.steps li p:first-child";

/* A page that is open from the beginning, so that every step arrives through the live log. */
async function follow(person) {
  const { page } = person;
  await person.fillForm("ja.example.test\n日本.example.test", ["alpha"], "ja.kyr");
  await person.submit();
  await page.locator('#live-note[data-state="on"]').waitFor();
  await until("issued, and the receipt", async () =>
    (/発行済み/.test(await person.text(".badges")) &&
      /(配布|確認)済み/.test(await person.text('[data-part="servers"]'))) || person.text());
  await assertJapanese(person, STEPS, 6);
  await page.reload();
  await assertJapanese(person, STEPS, 6);
  await assertJapanese(person, ".notice p", 1);
  await person.shot("ja-issued");
}

async function check(person) {
  const { page } = person;
  await person.fillForm("ja.example.test\n日本.example.test\nunreachable.example.test", ["alpha"], "checked.kyr");
  await page.locator("button[name=check]").click();
  await page.waitForSelector("#check-result");
  await assertJapanese(person, "#check-result td:last-child p:not(:empty)", 6);
  await person.shot("ja-checked");
}

async function refused(person) {
  await person.fillForm("-bad-.example\n*.wild.example", ["alpha"], "UPPER");
  await person.page.locator("button.primary[type=submit]").click();
  await person.page.locator(".summary").waitFor();
  await assertJapanese(person, ".field-error p", 3);
  await assertJapanese(person, ".summary li", 3);
}

/* The CA's own words are the only English of a failure. */
async function failure(person) {
  await person.open("/credentials?view=status");
  await person.page.locator("a", { hasText: "unreachable.example.test" }).first().click();
  await person.page.waitForSelector(".error-object");
  await assertJapanese(person, STEPS, 3);
  await assertJapanese(person, ".error-object > p", 2);
  await person.shot("ja-failed");
}

export async function run(browser, lab) {
  const person = await Person.come(browser, lab, { locale: "ja-JP" });
  await person.signIn();
  await person.page.waitForURL(/credentials/);
  await follow(person);
  await check(person);
  await refused(person);
  await failure(person);
  await person.open(`/credentials/${lab.issued}`);
  await assertJapanese(person, STEPS, 6); // of steps that were stored before
  await person.leave();
}
