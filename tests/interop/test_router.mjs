// Our replicator against npm pouchdb-express-router, in both directions; either side is killed in
// the middle of a batch and goes on from the checkpoint: at most one batch travels twice.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  ADDRESS, Process, below, call, changesHttp, check, checkSame, chunks, digest, main, makeDocs,
  onEnd, readHttp, scratch, sleep, startLab, until,
} from './rig.mjs';

const COUNT = 2000;
const BATCH = 500; // RP_BATCH
const PORT = 25200;
const dir = scratch();

class Peer {
  constructor(name, port) {
    this.port = port;
    this.dir = path.join(dir, name);
    this.log = path.join(dir, `${name}.log`);
    this.url = `http://${ADDRESS}:${port}/db`;
  }

  async start() {
    mkdirSync(this.dir, { recursive: true });
    this.process = new Process(process.execPath, [
      '--no-deprecation', fileURLToPath(new URL('peer.mjs', import.meta.url)), String(this.port),
      this.dir, this.log]);
    await this.process.ready('listening');
    await fetch(this.url, { method: 'PUT' });
  }

  // What replicators have read or written so far.
  lines(kind) {
    if (!existsSync(this.log)) return [];
    return readFileSync(this.log, 'utf8').split('\n').filter((line) => line.startsWith(`${kind} `));
  }
}

const replicate = (from, to, ...more) =>
  new Process(process.env.CERTSTORE_REPLICATE, ['--from', from, '--to', to, ...more]);

async function finish(process) {
  const { code, signal } = await process.ended;
  check(code === 0, `certstore-replicate ended with ${code ?? signal}: ${process.err}`);
  const status = JSON.parse(process.out);
  const part = status.pull ?? status.push;
  check(part.refused === 0, `refused: ${JSON.stringify(part)}`);
  return part;
}

// The contents of a store's directory, through a second program (the first has closed it).
let labs = 0;
async function readStore(store) {
  const lab = await startLab(PORT + 90 + labs++, 'db', store);
  const all = await readHttp(lab.url);
  await lab.process.kill();
  return all;
}

// A store with documents at DIR/db, as certstore-lab keeps it.
async function makeStore(docs) {
  const lab = await startLab(PORT + 90 + labs++);
  for (const part of chunks(docs, 500))
    await call(`${lab.url}/_bulk_docs`, 'POST', { docs: part, new_edits: false });
  await lab.process.kill('SIGTERM');
  return lab.dir;
}

async function fill(peer, docs) {
  for (const part of chunks(docs, 500))
    await call(`${peer.url}/_bulk_docs`, 'POST', { docs: part, new_edits: false });
}

// PouchDB's router has no _bulk_get: the leaves one document at a time, with their histories.
async function readPeer(peer) {
  return readHttp(peer.url, async (docs) => {
    const results = [];
    for (const part of chunks(docs, 40))
      results.push(...await Promise.all(part.map(async ({ id, rev }) => {
        const list = await call(
          `${peer.url}/${id}?revs=true&open_revs=${encodeURIComponent(JSON.stringify([rev]))}`);
        return { id, docs: list };
      })));
    return { results };
  });
}

// No more than one batch was sent twice.
function checkOnce(lines, what) {
  const twice = lines.length - new Set(lines).size;
  console.log(`   ${what}: ${lines.length} documents, ${twice} of them twice`);
  check(twice <= BATCH, `${what}: ${twice} documents sent twice, one batch at most`);
}

// Killed while the count of lines is somewhere in the middle of a batch.
async function killAt(peer, kind, victim) {
  const at = BATCH + 50 + below(COUNT - 2 * BATCH);
  const before = peer.lines(kind).length;
  await until(`${at} documents`, () => peer.lines(kind).length - before >= at);
  await victim.kill();
  console.log(`   killed after ${peer.lines(kind).length - before} documents`);
}

async function pullKilled() {
  const peer = new Peer('pull-client', PORT);
  const to = scratch();
  await peer.start();
  await fill(peer, makeDocs(COUNT, 'a'));
  await killAt(peer, 'read', replicate(peer.url, path.join(to, 'db')));
  const feeds = peer.lines('changes').length;
  const part = await finish(replicate(peer.url, path.join(to, 'db')));
  const since = peer.lines('changes')[feeds].split(' ')[1];
  check(since !== '0', 'began again from the start');
  check(part.saved, 'the checkpoint is not saved');
  checkOnce(peer.lines('read'), 'pulled, our side killed');
  const reads = peer.lines('read').length;
  await finish(replicate(peer.url, path.join(to, 'db')));
  check(peer.lines('read').length === reads, 'a finished replication reads documents again');
  checkSame(await readPeer(peer), await readStore(to), 'pulled');
  await peer.process.kill();
}

// What JavaScript keeps and we do not read stays behind, each document alone, whatever stands beside.
async function pullUnread() {
  const peer = new Peer('pull-unread', PORT + 6);
  const to = scratch();
  await peer.start();
  let deep = 1;
  for (let i = 0; i < 40; i++) deep = [deep];
  const values = [2 ** 60, 1e20, '\ud83d', 'a\u0000', { '\u0000': 1 }, deep];
  await fill(peer, values.map((v, i) => ({
    _id: `doc${i}0`, _rev: '1-a', _revisions: { start: 1, ids: ['a'] }, v })));
  await fill(peer, makeDocs(60, 'u'));
  for (let turn = 0; turn < 2; turn++) { // once more: it has been there
    const client = replicate(peer.url, path.join(to, 'db'));
    const { code } = await client.ended;
    const { pull } = JSON.parse(client.out);
    check(code === 0 && pull.saved, `it ended with ${code}: ${client.err}`);
    check(pull.refused === (turn ? 0 : values.length), `refused: ${JSON.stringify(pull)}`);
  }
  const there = await readPeer(peer);
  for (let i = 0; i < values.length; i++) there.delete(`doc${i}0`);
  check(there.size === 60, `${there.size} documents are to come`);
  checkSame(there, await readStore(to), 'beside what is not read');
  await peer.process.kill();
}

async function pullPeerKilled() {
  const peer = new Peer('pull-peer', PORT + 1);
  const to = scratch();
  await peer.start();
  await fill(peer, makeDocs(COUNT, 'a'));
  const client = replicate(peer.url, path.join(to, 'db'), '--live');
  await killAt(peer, 'read', peer.process);
  await sleep(300);
  await peer.start();
  const { doc_count: live } = await call(`${peer.url}`);
  check(live > 0, 'the peer has lost its documents');
  const rows = (await changesHttp(peer.url, 'all_docs')).flatMap((row) => row.changes);
  await until('all documents', () => new Set(peer.lines('read')).size >= rows.length);
  await client.kill('SIGTERM');
  await finish(client);
  checkOnce(peer.lines('read'), 'pulled, the peer killed');
  await finish(replicate(peer.url, path.join(to, 'db')));
  checkSame(await readPeer(peer), await readStore(to), 'pulled');
  await peer.process.kill();
}

async function pushKilled() {
  const peer = new Peer('push-client', PORT + 2);
  await peer.start();
  const from = await makeStore(makeDocs(COUNT, 'a'));
  await killAt(peer, 'write', replicate(path.join(from, 'db'), peer.url));
  const part = await finish(replicate(path.join(from, 'db'), peer.url));
  check(part.saved, 'the checkpoint is not saved');
  checkOnce(peer.lines('write'), 'pushed, our side killed');
  const writes = peer.lines('write').length;
  await finish(replicate(path.join(from, 'db'), peer.url));
  check(peer.lines('write').length === writes, 'a finished replication sends documents again');
  checkSame(await readStore(from), await readPeer(peer), 'pushed');
  await peer.process.kill();
}

async function pushPeerKilled() {
  const peer = new Peer('push-peer', PORT + 3);
  await peer.start();
  const from = await makeStore(makeDocs(COUNT, 'a'));
  const client = replicate(path.join(from, 'db'), peer.url);
  await killAt(peer, 'write', peer.process);
  await sleep(300);
  await peer.start();
  await finish(client);
  checkOnce(peer.lines('write'), 'pushed, the peer killed');
  checkSame(await readStore(from), await readPeer(peer), 'pushed');
  await peer.process.kill();
}

// Live in both directions at once, through certstore-lab's own replicator.
async function liveBothWays() {
  const peer = new Peer('live', PORT + 4);
  const lab = await startLab(PORT + 5);
  await peer.start();
  for (const [source, target] of [[peer.url, 'db'], ['db', peer.url]])
    await call(`${lab.origin}/_lab/replicate`, 'POST', { source, target });
  const ours = chunks(makeDocs(300, 'b'), 50), theirs = chunks(makeDocs(300, 'c'), 50);
  for (let i = 0; i < ours.length || i < theirs.length; i++) {
    if (ours[i]) await call(`${lab.url}/_bulk_docs`, 'POST', { docs: ours[i], new_edits: false });
    if (theirs[i]) await fill(peer, theirs[i]);
  }
  await until('both sides to be equal', async () =>
    digest(await changesHttp(peer.url, 'all_docs')) ===
    digest(await changesHttp(lab.url, 'all_docs')));
  const here = await readHttp(lab.url);
  check(here.size === 600, `${here.size} documents`);
  checkSame(here, await readPeer(peer), 'synced');
  for (const job of await call(`${lab.origin}/_lab/replicate`))
    check((job.pull ?? job.push).refused === 0, JSON.stringify(job));
  await lab.process.kill();
  await peer.process.kill();
}

// The same with whole batches at a time (_bulk_get, which PouchDB's router lacks): certstore-lab
// behind a proxy that counts.
function countingProxy(port, target, onLines) {
  const server = createServer(async (req, res) => {
    const body = [];
    for await (const part of req) body.push(part);
    const text = Buffer.concat(body);
    if (/_bulk_(get|docs)/.test(req.url))
      onLines(JSON.parse(text).docs.map((doc) => `${doc.id ?? doc._id} ${doc.rev ?? doc._rev}`));
    const out = request(`${target}${req.url}`, { method: req.method, headers: req.headers }, (back) => {
      res.writeHead(back.statusCode, back.headers);
      back.pipe(res).on('error', () => {});
    });
    out.on('error', () => res.destroy());
    res.on('close', () => out.destroy());
    out.end(text);
  });
  onEnd(() => server.close());
  return new Promise((resolve) => { server.listen(port, ADDRESS, () => resolve(server)); });
}

async function batchesKilled() {
  for (const push of [false, true]) {
    const port = PORT + (push ? 12 : 10);
    const lab = await startLab(port);
    const docs = makeDocs(COUNT, 'e');
    const local = push ? await makeStore(docs) : scratch();
    if (!push) await fill(lab, docs);
    const lines = [], at = 1 + below(3);
    let requests = 0, victim;
    await countingProxy(port + 1, lab.origin, (some) => {
      lines.push(...some);
      if (++requests === at) setTimeout(() => victim.kill(), below(30));
    });
    const url = `http://${ADDRESS}:${port + 1}/db`, store = path.join(local, 'db');
    const ends = push ? [store, url] : [url, store];
    victim = replicate(...ends);
    const { signal } = await victim.ended;
    check(signal === 'SIGKILL', 'ended before it was killed');
    await finish(replicate(...ends));
    checkOnce(lines, `${push ? 'pushed' : 'pulled'} in batches, killed in the ${at}.`);
    const before = lines.length;
    await finish(replicate(...ends));
    check(lines.length === before, 'a finished replication sends documents again');
    const there = await readHttp(lab.url);
    checkSame(await readStore(local), there, 'replicated in batches');
    await lab.process.kill();
  }
}

await main([pullUnread, batchesKilled, pullKilled, pullPeerKilled, pushKilled, pushPeerKilled, liveBothWays]);
