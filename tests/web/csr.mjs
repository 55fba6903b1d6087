/* A certificate by hand through its pages: CSR out, mistakes, a file in, issued and served. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Person, until } from "./browser.mjs";

export const name = "a certificate by hand";
const HOST = "hand.browser.example";

/* A CA of openssl's: {root, sign(csr)} as PEM. */
function authority(dir) {
  const at = (file) => join(dir, file);
  const run = (...args) => execFileSync("openssl", args, { stdio: ["ignore", "pipe", "ignore"] });
  run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
    at("ca.key"), "-out", at("ca.pem"), "-days", "30", "-subj", "/CN=Office CA", "-addext",
    "keyUsage=critical,keyCertSign");
  writeFileSync(at("ext"), `basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:${HOST}\n`);
  return {
    root: readFileSync(at("ca.pem"), "utf8"),
    sign(csr) {
      writeFileSync(at("csr"), csr);
      return run("x509", "-req", "-in", at("csr"), "-CA", at("ca.pem"), "-CAkey", at("ca.key"),
        "-set_serial", "0x1234567890", "-days", "20", "-extfile", at("ext")).toString();
    },
  };
}

async function ask(person) {
  const { page } = person;
  await person.fillForm(HOST, ["bravo"], "hand.kyr");
  await page.locator("#provider").selectOption("manual");
  const ulid = await person.submit();
  await until("the CSR", async () => {
    const text = await person.text();
    return /Waiting for a certificate/.test(text) || text;
  });
  await person.axe("a credential that waits for a certificate");
  await page.getByRole("link", { name: "CSR and certificate" }).click();
  await page.waitForURL(/\/csr$/);
  return ulid;
}

async function mistakes(person) {
  const { page } = person;
  const csr = await page.locator("#csr").inputValue();
  assert.match(csr, /^-----BEGIN CERTIFICATE REQUEST-----/);
  await page.locator("#certificate").fill(csr);
  await page.getByRole("button", { name: "Hand in" }).click();
  await person.shows(/not the certificate/, "#certificate-error");
  assert.equal(await page.locator("#certificate").inputValue(), csr, "what was pasted is kept");
  await person.axe("the page of a CSR with an error");
  await person.shot("csr-refused");
  return csr;
}

export async function run(browser, lab) {
  const person = await Person.come(browser, lab);
  const dir = mkdtempSync(join(tmpdir(), "csr-"));
  try {
    await person.signIn();
    const ca = authority(dir);
    const ulid = await ask(person);
    const { page } = person;
    await person.axe("the page of a CSR");
    await person.shot("csr");
    const download = page.waitForEvent("download");
    await page.getByRole("link", { name: "Download CSR" }).click();
    const file = await download;
    assert.equal(file.suggestedFilename(), `${ulid}.csr`);
    const csr = await mistakes(person);
    assert.equal(readFileSync(await file.path(), "utf8").trim(), csr.trim());
    writeFileSync(join(dir, "answer.crt"), ca.root + ca.sign(csr));
    await page.locator("#file").setInputFiles(join(dir, "answer.crt"));
    await until("the file's text", async () =>
      /BEGIN CERTIFICATE-----/.test(await page.locator("#certificate").inputValue()) || "none");
    await page.getByRole("button", { name: "Hand in" }).click();
    await page.waitForURL(new RegExp(`${ulid}$`));
    await until("the certificate", async () => {
      const text = await person.text();
      return /Issued/.test(text) && /Office CA/.test(text) || text;
    });
    await person.shows(/put into order/);
  } finally {
    rmSync(dir, { recursive: true });
    await person.leave();
  }
}
