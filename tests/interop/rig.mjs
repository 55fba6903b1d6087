// What the interoperability tests share: seeded random numbers, processes, document trees and
// their comparison.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ADDRESS } from './address.mjs';

export { ADDRESS };

// ---- random numbers: printed seed, INTEROP_SEED repeats a run ---------------------------------

export const seed = Number(process.env.INTEROP_SEED || Date.now() % 2 ** 31);
console.log(`seed ${seed} (INTEROP_SEED=${seed} repeats this run)`);

let state = seed >>> 0;
export function random() { // mulberry32
  state = (state + 0x6d2b79f5) >>> 0;
  let t = state;
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
export const below = (n) => Math.floor(random() * n);
export const pick = (list) => list[below(list.length)];
export const hex = (n) => Array.from({ length: n }, () => below(16).toString(16)).join('');

// ---- outcome ----------------------------------------------------------------------------------

export function check(condition, text) {
  if (!condition) throw new Error(text);
}

const cleanups = [];
export const onEnd = (fn) => cleanups.unshift(fn);

// Runs the steps in order; everything started is ended, whatever happens.
export async function main(steps) {
  try {
    for (const step of steps) {
      const from = Date.now();
      await step();
      console.log(`ok ${step.name} (${((Date.now() - from) / 1000).toFixed(1)} s)`);
    }
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  }
  for (const fn of cleanups) await fn();
  process.exit();
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function until(what, fn, ms = 150000) {
  for (const end = Date.now() + ms; ;) {
    const value = await fn();
    if (value) return value;
    check(Date.now() < end, `waited in vain: ${what}`);
    await sleep(20);
  }
}

export function scratch() {
  const dir = mkdtempSync(path.join(tmpdir(), 'interop-'));
  onEnd(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

// ---- processes --------------------------------------------------------------------------------

const running = new Set(); // ended also after an uncaught error
process.on('exit', () => running.forEach((one) => one.over || one.child.kill('SIGKILL')));

export class Process {
  constructor(command, args, options = {}) {
    this.out = '';
    this.err = '';
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    this.child.stdout.on('data', (data) => { this.out += data; });
    this.child.stderr.on('data', (data) => { this.err = (this.err + data).slice(-4000); });
    this.ended = new Promise((resolve) => {
      this.child.on('close', (code, signal) => {
        this.over = true;
        resolve({ code, signal });
      });
    });
    onEnd(() => this.kill());
    running.add(this);
  }

  async kill(signal = 'SIGKILL') {
    if (!this.over) this.child.kill(signal);
    return this.ended;
  }

  async ready(text) {
    await until(`"${text}" of ${this.child.spawnargs[0]}`, () => {
      check(!this.over, `ended too soon: ${this.err}`);
      return this.out.includes(text);
    });
  }
}

// certstore-lab with a database, empty unless dir has one; returns its URL.
export async function startLab(port, database = 'db', dir = scratch()) {
  const origin = `http://${ADDRESS}:${port}`;
  const lab = new Process(process.env.CERTSTORE_LAB,
    ['--listen', `${ADDRESS}:${port}`, '--dir', dir]);
  await lab.ready('listening');
  const reply = await fetch(`${origin}/${database}`, { method: 'PUT' });
  check([201, 412].includes(reply.status), `cannot make a database: ${reply.status}`);
  return { origin, url: `${origin}/${database}`, dir, process: lab };
}

export async function call(url, method = 'GET', body = undefined) {
  const reply = await fetch(url, {
    method,
    headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await reply.text();
  check(reply.ok, `${method} ${url}: ${reply.status} ${text.slice(0, 300)}`);
  return JSON.parse(text);
}

// ---- documents with trees ---------------------------------------------------------------------

// `count` documents as replicated revisions (new_edits false): most have one or a few revisions,
// some are torn, some deleted, some both.
export function makeDocs(count, prefix) {
  const docs = [];
  for (let i = 0; i < count; i++) {
    const id = `${prefix}${String(i).padStart(6, '0')}`;
    const kind = below(20);
    const length = kind < 12 ? 1 : 1 + below(5);
    const trunk = Array.from({ length }, () => hex(32));
    const add = (ids, deleted) => docs.push({
      _id: id,
      _rev: `${ids.length}-${ids[0]}`,
      _revisions: { start: ids.length, ids },
      ...(deleted ? { _deleted: true } : { n: i, text: hex(40), 'näme': '日本語 "\\ \u0001' }),
    });
    add(trunk, kind === 12 || kind === 13);
    if (kind >= 16) { // a second branch, sometimes ending in a tombstone
      const keep = 1 + below(length); // the newest of the trunk stays a leaf
      const branch = Array.from({ length: 1 + below(3) }, () => hex(32));
      add([...branch, ...trunk.slice(keep)], kind === 19);
    }
  }
  return docs;
}

export const chunks = (list, size) =>
  Array.from({ length: Math.ceil(list.length / size) }, (_, i) =>
    list.slice(i * size, (i + 1) * size));

// ---- comparison -------------------------------------------------------------------------------

const canonical = (value) => {
  if (Array.isArray(value)) return value.map(canonical);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.keys(value).sort().map((k) => [k, canonical(value[k])]));
};

function leafOf(doc) {
  const { _id, _rev, _revisions, _deleted, ...body } = doc;
  const digest = createHash('sha256').update(JSON.stringify(canonical(body))).digest('hex');
  return `${_rev} ${_deleted ? 'deleted' : 'live'} ${_revisions.start}:${_revisions.ids} ${digest}`;
}

// id -> text of everything a replica knows of it: winner first, leaves, deleted ones too, with
// their histories and bodies.  `changes` and `bulkGet` are the replica's own.
async function readAll(changes, bulkGet) {
  const all = new Map();
  const rows = await changes('all_docs');
  const winners = new Map((await changes('main_only')).map((row) => [row.id, row.changes[0].rev]));
  for (const part of chunks(rows, 500)) {
    const docs = part.flatMap((row) => row.changes.map(({ rev }) => ({ id: row.id, rev })));
    const { results } = await bulkGet(docs);
    check(results.length === docs.length, 'an answer of another length than its question');
    const leaves = new Map(part.map((row) => [row.id, []]));
    const wanted = new Set(docs.map(({ id, rev }) => `${id} ${rev}`));
    for (const { docs: [{ ok: doc }] } of results) { // PouchDB keeps no order among one id's
      check(doc && wanted.delete(`${doc._id} ${doc._rev}`), `not asked for: ${JSON.stringify(doc)}`);
      leaves.get(doc._id).push(leafOf(doc));
    }
    check(wanted.size === 0, `no leaf ${[...wanted][0]}`);
    for (const row of part) {
      const head = `${winners.get(row.id)} ${Boolean(row.deleted)}`;
      all.set(row.id, `${head}\n${leaves.get(row.id).sort().join('\n')}`);
    }
  }
  return all;
}

export const changesHttp = async (url, style) =>
  (await call(`${url}/_changes?style=${style}`)).results;

export const changesPouch = async (db, style) => (await db.changes({ style })).results;

// Leaves alone, for waiting: one text for the whole replica.
export const digest = (rows) => rows
  .map((row) => `${row.id} ${row.changes.map(({ rev }) => rev).sort()}`).sort().join('\n');

const bulkGetHttp = (url) => (docs) => call(`${url}/_bulk_get?revs=true`, 'POST', { docs });

export const readHttp = (url, bulkGet = bulkGetHttp(url)) =>
  readAll((style) => changesHttp(url, style), bulkGet);

export const readPouch = (db) => readAll(
  (style) => changesPouch(db, style),
  (docs) => db.bulkGet({ docs, revs: true }));

export function checkSame(a, b, what) {
  for (const [id, text] of a)
    check(b.get(id) === text, `${what}: ${id} differs\n--- one\n${text}\n--- other\n${b.get(id)}`);
  check(a.size === b.size, `${what}: ${a.size} documents and ${b.size}`);
}
