/*
 * The page of one credential follows what happens: server-sent events say that something moved,
 * then the page's own HTML is fetched again and the parts that differ are swapped.  Without this
 * module the page loads itself again (noscript refresh).  A hidden page lets go of its connection.
 */
const root = document.querySelector("[data-events]");
const note = document.getElementById("live-note");
const button = note.querySelector("button");
const GATHER_MS = 250; // events within this time lead to one fetch
const AGAIN_MS = 5000; // after a refused stream (too many are open)
const STEPS_MAX = 500; // as the server keeps

let after = root.dataset.after;
let source = null;
let timer = 0;
let paused = false;
let fetching = false;
let dirty = false;

function tell(state) {
  note.hidden = false;
  note.dataset.state = state;
  note.querySelector("span").textContent = note.dataset[state];
  button.textContent = paused ? button.dataset.resume : button.dataset.pause;
}

/* Keeps the keyboard where it was: the same control of the part, as far as it is still there. */
function swap(old, fresh) {
  const controls = "a[href], button, input, select, textarea, [tabindex]";
  const at = [...old.querySelectorAll(controls)].indexOf(document.activeElement);
  if (old.innerHTML === fresh.innerHTML) return;
  old.replaceChildren(...fresh.childNodes);
  if (at >= 0) old.querySelectorAll(controls)[at]?.focus();
}

/* Steps are only added, so that a screen reader reads the new ones alone. */
function append(old, fresh) {
  const last = old.lastElementChild?.dataset.id ?? "";
  for (const item of [...fresh.children]) if (item.dataset.id > last) old.append(item);
  while (old.children.length > STEPS_MAX) old.firstElementChild.remove();
}

async function update() {
  if (fetching) {
    dirty = true;
    return;
  }
  fetching = true;
  try {
    const reply = await fetch(location.href, { redirect: "manual", cache: "no-store" });
    if (reply.type === "opaqueredirect" || reply.status === 404) location.reload();
    if (!reply.ok) return;
    const text = await reply.text();
    if (paused) return; // while it was on its way
    const page = new DOMParser().parseFromString(text, "text/html");
    for (const fresh of page.querySelectorAll("[data-part]")) {
      const old = document.querySelector(`[data-part="${fresh.dataset.part}"]`);
      if (old && fresh.dataset.part === "steps") append(old, fresh);
      else if (old) swap(old, fresh);
    }
  } catch {
    // No connection: the stream says so, and comes again.
  } finally {
    fetching = false;
    if (dirty) gather();
    dirty = false;
  }
}

function gather() {
  if (!timer && !paused)
    timer = setTimeout(() => {
      timer = 0;
      update();
    }, GATHER_MS);
}

function close() {
  source?.close();
  source = null;
}

function open() {
  if (source || paused || document.hidden) return;
  source = new EventSource(`${root.dataset.events}?after=${after}`);
  source.addEventListener("open", () => tell("on"));
  source.addEventListener("step", (event) => {
    after = event.lastEventId;
    gather();
  });
  source.addEventListener("state", gather);
  source.addEventListener("error", () => {
    tell("lost");
    if (source.readyState !== EventSource.CLOSED) return; // it comes again by itself
    close();
    update(); // signed out? then this leads to the login
    setTimeout(open, AGAIN_MS);
  });
}

button.addEventListener("click", () => {
  paused = !paused;
  if (paused) {
    close();
    clearTimeout(timer);
    timer = 0;
    tell("off");
  } else {
    open();
  }
});
document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
open();
