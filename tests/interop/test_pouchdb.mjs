// npm pouchdb 9 pushes, pulls and syncs live with certstore-lab: 10,000 documents each way, no
// error, equal contents (all leaves with their histories and bodies, deleted ones too).
import path from 'node:path';
import PouchDB from 'pouchdb';
import {
  call, changesHttp, changesPouch, check, checkSame, chunks, digest, hex, main, makeDocs, onEnd, pick,
  readHttp, readPouch, scratch, startLab, until,
} from './rig.mjs';

const COUNT = 10000;
const dir = scratch();
let lab, source, target;

function open(name) {
  const db = new PouchDB(path.join(dir, name));
  onEnd(() => db.close().catch(() => {}));
  return db;
}

function checkResult(result, wrote) {
  check(result.ok && result.status === 'complete', `status ${result.status}`);
  check(result.doc_write_failures === 0, `${result.doc_write_failures} documents refused`);
  check(result.errors.length === 0, `errors: ${JSON.stringify(result.errors)}`);
  check(result.docs_written === wrote, `${result.docs_written} written, ${wrote} expected`);
}

async function push() {
  lab = await startLab(25100);
  source = open('source');
  const docs = makeDocs(COUNT, 'a');
  for (const part of chunks(docs, 1000)) await source.bulkDocs(part, { new_edits: false });
  checkResult(await source.replicate.to(lab.url, { batch_size: 500 }), docs.length);
  checkSame(await readPouch(source), await readHttp(lab.url), 'pushed');
  checkResult(await source.replicate.to(lab.url), 0);
}

async function pull() {
  target = open('target');
  const { doc_count: live, doc_del_count: deleted } = await call(`${lab.url}/`);
  check(live + deleted === COUNT, `${live} + ${deleted} documents`);
  const result = await target.replicate.from(lab.url, { batch_size: 500 });
  check(result.errors.length === 0 && result.doc_write_failures === 0, JSON.stringify(result));
  checkSame(await readHttp(lab.url), await readPouch(target), 'pulled');
  checkResult(await target.replicate.from(lab.url), 0);
}

// Both sides take 10,000 new documents while they sync, and edit the same ones.
async function liveBothWays() {
  const problems = [];
  const sync = target.sync(lab.url, { live: true, retry: false, batch_size: 500 });
  sync.on('error', (error) => problems.push(error));
  sync.on('denied', (error) => problems.push(error));
  const ours = chunks(makeDocs(COUNT, 'b'), 1000);
  const theirs = chunks(makeDocs(COUNT, 'c'), 1000);
  for (let i = 0; i < Math.max(ours.length, theirs.length); i++) {
    if (ours[i]) await target.bulkDocs(ours[i], { new_edits: false });
    if (theirs[i])
      await call(`${lab.url}/_bulk_docs`, 'POST', { docs: theirs[i], new_edits: false });
  }
  // Interactive edits of the same documents on both sides: torn everywhere in the same way.
  const rows = (await target.allDocs({ startkey: 'a', endkey: 'b' })).rows;
  for (let i = 0; i < 20; i++) {
    const { id, value: { rev } } = pick(rows);
    await target.put({ _id: id, _rev: rev, by: 'pouchdb', text: hex(8) }).catch((error) => {
      check(error.status === 409, `${error}`);
    });
    await fetch(`${lab.url}/${id}`, {
      method: 'PUT', body: JSON.stringify({ _rev: rev, by: 'lab', text: hex(8) }),
      headers: { 'Content-Type': 'application/json' },
    }).then((reply) => check([201, 409].includes(reply.status), `PUT: ${reply.status}`));
  }
  await until('both sides to be equal', async () => {
    check(problems.length === 0, `live sync: ${problems[0]}`);
    return digest(await changesPouch(target, 'all_docs')) ===
      digest(await changesHttp(lab.url, 'all_docs'));
  });
  const here = await readPouch(target);
  checkSame(here, await readHttp(lab.url), 'synced');
  check(here.size === 3 * COUNT, `${here.size} documents`);
  const ended = new Promise((resolve) => { sync.on('complete', resolve); });
  sync.cancel();
  await ended;
  check(problems.length === 0, `live sync: ${problems[0]}`);
}

// certstore-lab is killed while PouchDB pushes, and started again: PouchDB goes on by itself, and
// nothing that was acknowledged is lost.
async function killedServer() {
  const writer = open('writer');
  const docs = makeDocs(2000, 'd');
  for (const part of chunks(docs, 500)) await writer.bulkDocs(part, { new_edits: false });
  const { url, dir: store, process: victim } = await startLab(25101);
  const job = writer.replicate.to(url, {
    live: true, retry: true, batch_size: 50, back_off_function: () => 50,
  });
  const problems = [];
  job.on('denied', (error) => problems.push(error));
  job.on('error', (error) => problems.push(error));
  const written = await new Promise((resolve) => {
    job.on('change', (info) => { if (info.docs_written > 500) resolve(info.docs_written); });
  });
  await victim.kill();
  const again = await startLab(25101, 'db', store);
  const { doc_count: live, doc_del_count: deleted } = await call(`${again.url}/`);
  const leaves = (await changesHttp(again.url, 'all_docs')).flatMap((row) => row.changes).length;
  check(leaves >= written, `${written} acknowledged, ${leaves} left (${live} + ${deleted})`);
  console.log(`   killed after ${written} revisions, ${leaves} there`);
  await until('the push to go on', async () =>
    digest(await changesPouch(writer, 'all_docs')) ===
    digest(await changesHttp(again.url, 'all_docs')));
  const ended = new Promise((resolve) => { job.on('complete', resolve); });
  job.cancel();
  await ended;
  check(problems.length === 0, `${problems[0]}`);
  checkSame(await readPouch(writer), await readHttp(again.url), 'pushed over a kill');
}

await main([push, pull, liveBothWays, killedServer]);
