/*
 * The page of a CSR: a button that copies it, and a file instead of pasted text.  A file that is
 * no text (.der, .cer, .p7b) becomes PEM, which is what the server reads.
 */
const copy = document.getElementById("copy");
const csr = document.getElementById("csr");
const part = document.getElementById("file-part");
const file = document.getElementById("file");
const text = document.getElementById("certificate");
const FILE_MAX = 100_000; // bytes; a chain is a few thousand
const LINE = 64; // characters of base64 in a line of PEM

if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(csr.value);
    copy.textContent = copy.dataset.done;
  });
}

/* DER begins with a SEQUENCE; a bundle (PKCS #7) names its type first, a certificate does not. */
function armour(bytes) {
  const base64 = btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(""));
  const lines = base64.match(new RegExp(`.{1,${LINE}}`, "g")).join("\n");
  const head = bytes[1] & 0x80 ? 2 + (bytes[1] & 0x7f) : 2;
  const label = bytes[head] === 0x06 ? "PKCS7" : "CERTIFICATE";
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

part.hidden = false;
file.addEventListener("change", async () => {
  const chosen = file.files[0];
  if (!chosen || chosen.size > FILE_MAX) return;
  const bytes = new Uint8Array(await chosen.arrayBuffer());
  text.value = bytes[0] === 0x30 ? armour(bytes) : new TextDecoder().decode(bytes);
});
