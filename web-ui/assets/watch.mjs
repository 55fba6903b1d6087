/*
 * A page whose state changes by itself and slowly: its part is fetched again and swapped until the
 * server says that nothing moves any more.  Without this module the page loads itself again
 * (noscript refresh).  A server that begins anew, or asks with another certificate, is told so.
 */
const PAUSE_MS = 3000;
const LOST_AFTER = 3; // failed fetches in a row

let part = document.querySelector("[data-watch]");
let failed = 0;

async function look() {
  if (document.hidden) return;
  try {
    const reply = await fetch(part.dataset.watch, { redirect: "manual", cache: "no-store" });
    if (reply.type === "opaqueredirect") location.reload(); // signed out
    if (!reply.ok) return;
    const page = new DOMParser().parseFromString(await reply.text(), "text/html");
    const fresh = page.querySelector("[data-part=watched]");
    failed = 0;
    document.getElementById("watch-lost").hidden = true;
    if (!fresh || fresh.innerHTML === part.innerHTML) return;
    const held = part.contains(document.activeElement);
    part.replaceWith(fresh);
    part = fresh;
    if (held) part.focus(); // the control may be gone: the part itself has tabindex -1
  } catch {
    failed += 1;
    document.getElementById("watch-lost").hidden = failed < LOST_AFTER;
  }
}

async function again() {
  await look();
  if (part.dataset.watch) setTimeout(again, PAUSE_MS);
}
setTimeout(again, PAUSE_MS);
