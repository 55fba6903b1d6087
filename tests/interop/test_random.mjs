// The same random questions to certstore-lab and, through npm pouchdb-express-router, to PouchDB:
// the same answers and verdicts, and in the end the same trees.  Where CouchDB answers otherwise
// than PouchDB its answer is demanded (couch()); what PouchDB cannot do is not asked.
import http from 'node:http';
import path from 'node:path';
import express from 'express';
import PouchDB from 'pouchdb';
import router from 'pouchdb-express-router';
import {
  ADDRESS, below, check, checkSame, main, onEnd, pick, readHttp, readPouch, scratch, startLab,
} from './rig.mjs';

const ROUNDS = Number(process.env.INTEROP_ROUNDS || 200);
const EDITS = ROUNDS / 5;
const IDS = ['a', 'b', 'a b', 'ä日本', 'x/y', 'q?&=#', '%41', 'z+z', '_design/x', 'Z\u{1F600}', '"q"'];
const LETTERS = ['a', 'b', 'c', 'd'];
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
let ours, judge, pouch;

async function start() {
  const Judge = PouchDB.defaults({ prefix: scratch() + path.sep });
  const server = express().use('/', router(Judge)).listen(25501, ADDRESS);
  server.keepAliveTimeout = 0; // a slow machine lets a connection wait
  onEnd(() => server.close());
  ours = (await startLab(25500)).url;
  judge = `http://${ADDRESS}:25501/db`;
  for (const url of [judge, `${judge}2`, `${ours}2`]) await ask(url, 'PUT', '');
  pouch = new Judge('db');
}

// ---- questions --------------------------------------------------------------------------------

function ask(base, method, target, body = undefined) {
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers = text && {
    'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) };
  return new Promise((resolve, reject) => {
    http.request(base + target, { method, agent, headers }, async (res) => {
      let out = '';
      for await (const data of res.setEncoding('utf8')) out += data;
      resolve({ status: res.statusCode, body: out ? JSON.parse(out) : null });
    }).on('error', reject).end(text);
  });
}

const place = (id) => id.split('/').map(encodeURIComponent).join(id[0] === '_' ? '/' : '%2F');
const json = (value) => encodeURIComponent(JSON.stringify(value));
const list = (max, fn) => Array.from({ length: below(max + 1) }, fn);
const someId = () => (below(8) ? pick(IDS) : pick(['none', '_design/none']));

// Some of the parameters.
const query = (table) => `?${Object.entries(table)
  .filter(() => below(3) === 0).map(([name, value]) => `${name}=${value()}`).join('&')}`;

// ---- revisions --------------------------------------------------------------------------------

// Each revision has one parent, so that no two histories contradict each other.
const revision = (gen, letter) => `${gen}-${`${gen}${letter}`.repeat(16)}`;
const parent = (id, gen, letter) =>
  LETTERS[(id.length + gen * 3 + letter.charCodeAt(0) * 5) % LETTERS.length];
const history = (id, gen, letter) => (gen === 0 ? []
  : [revision(gen, letter), ...history(id, gen - 1, parent(id, gen, letter))]);

const known = new Map(); // id and revision -> it was sent (true), or only named in a history

// A document to write, or none: a revision that is known as an ancestor stays without a body.
function written(id) {
  const gen = 1 + below(4), revs = history(id, gen, pick(LETTERS));
  if (known.has(id + revs[0])) return [];
  for (const rev of revs) known.set(id + rev, known.get(id + rev) || rev === revs[0]);
  const body = below(4) ? { v: [gen, 1.5, null, { 'ü"': '\\' }] } : { _deleted: true };
  const ids = revs.map((rev) => rev.split('-')[1]);
  return [{ _id: id, _rev: revs[0], _revisions: { start: gen, ids }, ...body }];
}

// Sent or unknown; what was only named is missing to PouchDB, not to CouchDB.
function someRev(id) {
  const rev = revision(1 + below(4), pick(LETTERS));
  return known.get(id + rev) === false ? '9-none' : rev;
}

// ---- answers ----------------------------------------------------------------------------------

const bool = () => pick(['true', 'false']);
const key = () => json(pick([...IDS, 'm', 'zz', '_', 'none']));
const view = { revs: bool, conflicts: bool, revs_info: bool };
const range = {
  startkey: key, endkey: key, inclusive_end: bool, descending: bool, skip: () => below(4),
  limit: () => 1 + below(8), include_docs: bool, conflicts: bool };
const feed = {
  style: () => pick(['all_docs', 'main_only']), include_docs: bool, conflicts: bool,
  descending: bool };

const QUESTIONS = [
  () => ['POST', '/_bulk_docs',
    { new_edits: false, docs: list(4, () => pick(IDS)).flatMap(written) }],
  () => ['GET', `/${place(someId())}${query(view)}`],
  (id = someId()) => ['GET', `/${place(id)}?revs=${bool()}&rev=${someRev(id)}`],
  () => ['GET', `/${place(someId())}?open_revs=all&revs=${bool()}`],
  (id = someId()) => ['GET',
    `/${place(id)}?open_revs=${json([someRev(id), ...list(3, () => someRev(id))])}`],
  () => ['GET', `/_all_docs${query(range)}`],
  () => ['GET', `/_all_docs${query({ include_docs: bool })}&key=${key()}`],
  () => ['POST', `/_all_docs${query({ include_docs: bool, descending: bool })}`,
    { keys: list(5, someId) }],
  () => ['GET', `/_changes${query(feed)}`],
  () => ['POST', `/_changes${query(feed)}&filter=_doc_ids`, { doc_ids: list(4, someId) }],
  () => ['POST', '/_revs_diff', Object.fromEntries(list(4, someId)
    .map((id) => [id, [...new Set(list(4, () => someRev(id)))]]))],
];

const FREE = new Set(['seq', 'last_seq', 'pending', 'offset', 'reason', 'possible_ancestors']);
const UNORDERED = new Set(['', 'changes', '_conflicts', 'results']);

// A value as text, without what may differ: sequences, words, the order of leaves and changes, rows
// that are there twice, and what PouchDB tells less or more of.
function plain(value, name = '') {
  if (Array.isArray(value)) {
    const items = value.map((item) => plain(item));
    return `[${UNORDERED.has(name) ? [...new Set(items)].sort() : items}]`;
  }
  if (value === null || typeof value !== 'object')
    return value === 'deleted' ? '"available"' : JSON.stringify(value); // of _revs_info
  const members = Object.keys(value).sort().filter((member) => !FREE.has(member) &&
    !(member === 'doc' && value.doc === null) && value[member].missing?.length !== 0);
  return `{${members.map((member) => `${member}:${plain(value[member], member)}`)}}`;
}

async function questions() {
  for (let i = 0; i < ROUNDS; i++) {
    const question = pick(QUESTIONS)();
    const [a, b] = await Promise.all([ours, judge].map((url) => ask(url, ...question)));
    const [x, y] = [a, b].map(({ status, body }) =>
      `${status} ${status < 400 ? plain(body) : body.error}`);
    check(x === y, `${JSON.stringify(question)}\n--- certstore-lab\n${x}\n--- PouchDB\n${y}`);
  }
}

// ---- verdicts ---------------------------------------------------------------------------------

const KINDS = {
  put: (id, base) => ['PUT', `/${place(id)}`, { ...base, v: 1 }],
  post: (id, base) => ['POST', '', { _id: id, ...base, v: 1 }],
  bury: (id, base) => ['PUT', `/${place(id)}`, { ...base, _deleted: true }],
  remove: (id, base) => ['DELETE', `/${place(id)}${base._rev ? `?rev=${base._rev}` : ''}`],
};

// CouchDB's status for an edit, where PouchDB's is known.
function couch(kind, status, { found, alive, named }) {
  if (kind === 'remove' && !alive) return 404;
  if (kind === 'remove' && status === 404) return 409;
  if (found && !alive && (named || kind === 'bury')) return 409; // nothing but a new life
  return kind === 'bury' && status === 201 ? 200 : status;
}

// Each edit has a document of its own: generated revisions differ.
async function edits() {
  const everywhere = (...question) =>
    Promise.all([ours, judge].map((url) => ask(`${url}2`, ...question)));
  for (let i = 0; i < EDITS; i++) {
    const id = `${pick(IDS)}${i}`, kind = pick(Object.keys(KINDS));
    await everywhere('POST', '/_bulk_docs',
      { new_edits: false, docs: list(3, () => id).flatMap(written) });
    const [{ body }] = await everywhere('GET', `/${place(id)}?open_revs=all`);
    const leaves = body.error ? [] : body.map((row) => row.ok);
    const named = pick([...leaves.map((leaf) => leaf._rev), undefined, '1-none',
      revision(1 + below(4), 'a')]);
    const [a, b] = await everywhere(...KINDS[kind](id, named ? { _rev: named } : {}));
    const state = { found: leaves.length, alive: leaves.some((leaf) => !leaf._deleted), named };
    check(a.status === couch(kind, b.status, state), `${kind} ${JSON.stringify([id, state,
      leaves])}: ${a.status}, PouchDB ${b.status}`);
    check(a.status >= 300 || b.status >= 300 || parseInt(a.body.rev) === parseInt(b.body.rev),
      `${kind} ${id}: ${a.body.rev}, PouchDB ${b.body.rev}`);
  }
}

async function trees() {
  checkSame(await readHttp(ours), await readPouch(pouch), 'after all questions');
}

await main([start, questions, edits, trees]);
