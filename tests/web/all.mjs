/*
 * Runs every scenario against one fleet, in order: the first one uses the set-up link.
 *
 * usage: node all.mjs BASE_URL SETUP_LINK FRONT_PID AGENT_PID SLEEPER_PID CA_PID STANDBY_URL
 * ITS_SETUP_LINK [SCREENSHOT_DIR]; exit 0, or 1 with the failed scenario.  SLEEPER_PID: charlie's front.
 */
import { launch } from "./browser.mjs";
import * as mainPath from "./main_path.mjs";
import * as live from "./live.mjs";
import * as keyboard from "./keyboard.mjs";
import * as admin from "./admin.mjs";
import * as csr from "./csr.mjs";
import * as access from "./access.mjs";
import * as japanese from "./japanese.mjs";
import * as guards from "./guards.mjs";
import * as rotate from "./rotate.mjs";
import * as promote from "./promote.mjs";

const [base, setupLink, frontPid, agentPid, sleeper, caPid, standbyBase, standbyLink, shots] =
  process.argv.slice(2);
const standby = { base: standbyBase, setupLink: standbyLink };
const pids = {
  frontPid: Number(frontPid), agentPid: Number(agentPid), sleeper: Number(sleeper), caPid: Number(caPid),
};
const lab = { base, setupLink, ...pids, standby, shots };
const browser = await launch();
let status = 0;
const scenarios = [mainPath, live, keyboard, admin, csr, access, japanese, guards, rotate, promote];
for (const scenario of scenarios) {
  const begin = Date.now();
  try {
    await scenario.run(browser, lab);
    console.log(`ok ${scenario.name} (${((Date.now() - begin) / 1000).toFixed(1)} s)`);
  } catch (error) {
    console.error(`FAILED ${scenario.name}\n${error.stack}`);
    for (const [i, page] of browser.contexts().flatMap((c) => c.pages()).entries()) {
      console.error(`  at ${page.url()}`);
      if (shots) await page.screenshot({ path: `${shots}/failed-${i}.png`, fullPage: true });
    }
    status = 1;
    break;
  }
}
await browser.close();
process.exit(status);
