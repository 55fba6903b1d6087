// Revision trees: random ones against npm pouchdb-merge, and every golden vector of a real CouchDB
// (tests/data/revtree.jsonl), through certstore-lab's routes: winner, leaves, histories, at
// revs_limit 1000 and 20.
import { readFileSync } from 'node:fs';
import { collectLeaves, merge, rootToLeaf, traverseRevTree, winningRev } from 'pouchdb-merge';
import {
  below, call, check, chunks, hex, main, pick, random, startLab,
} from './rig.mjs';

const TREES = 2000;
const UNJUDGED = 20; // at most, of them more are made
let lab;

// ---- the store under test ---------------------------------------------------------------------

let databases = 0;
async function makeDatabase(limit) {
  const url = `${lab.origin}/trees${databases++}`;
  await call(url, 'PUT');
  await call(`${url}/_revs_limit`, 'PUT', limit);
  return url;
}

// The k-th operation of every tree in one request, so that each document gets its own in order.
async function apply(url, trees) {
  const longest = Math.max(...trees.map((ops) => ops.length));
  for (let k = 0; k < longest; k++) {
    const docs = trees.flatMap((ops, i) => (ops[k] ? [{
      _id: `t${i}`, _rev: `${ops[k].pos}-${ops[k].ids[0]}`, _deleted: ops[k].deleted,
      _revisions: { start: ops[k].pos, ids: ops[k].ids }, op: k,
    }] : []));
    for (const part of chunks(docs, 1000)) {
      const rows = await call(`${url}/_bulk_docs`, 'POST', { docs: part, new_edits: false });
      check(rows.length === 0, `refused: ${JSON.stringify(rows[0])}`);
    }
  }
}

// For each tree [{rev, deleted, ids}…], winner first.
async function read(url, count) {
  const answers = [];
  for (const part of chunks([...Array(count).keys()], 500)) {
    const docs = part.map((i) => ({ id: `t${i}` }));
    const { results } = await call(`${url}/_bulk_get?revs=true`, 'POST', { docs });
    for (const result of results)
      answers.push(result.docs.map(({ ok }) => (
        { rev: ok._rev, deleted: ok._deleted === true, ids: ok._revisions.ids })));
  }
  // The feed must tell the same leaves in the same order.
  const { results } = await call(`${url}/_changes?style=all_docs`);
  check(results.length === count, `${results.length} documents in the feed`);
  for (const row of results)
    check(JSON.stringify(row.changes.map(({ rev }) => rev)) ===
      JSON.stringify(answers[Number(row.id.slice(1))].map(({ rev }) => rev)), `feed of ${row.id}`);
  return answers;
}

// ---- pouchdb-merge ----------------------------------------------------------------------------

function pathOf(op) {
  let node = [];
  op.ids.forEach((id, i) => {
    node = [id, { status: i === 0 ? 'available' : 'missing', ...(i === 0 && op.deleted ?
      { deleted: true } : {}) }, i === 0 ? [] : [node]];
  });
  return { pos: op.pos - op.ids.length + 1, ids: node };
}

// Where a path that was cut short joins two parts of its tree, pouchdb-merge may leave one revision
// in both (CouchDB does not): such a tree contradicts itself and judges nobody.
function contradicts(tree) {
  const seen = new Set();
  let twice = false;
  traverseRevTree(tree, (leaf, pos, id) => {
    twice ||= seen.has(`${pos}-${id}`);
    seen.add(`${pos}-${id}`);
  });
  return twice;
}

function oracle(ops, limit) {
  let tree = [], torn = false;
  for (const op of ops) {
    tree = merge(tree, pathOf(op), limit).tree;
    torn ||= contradicts(tree);
  }
  const histories = new Map(rootToLeaf(tree).map(({ pos, ids }) => {
    const names = ids.map(({ id }) => id).reverse();
    return [`${pos + ids.length - 1}-${names[0]}`, names];
  }));
  const leaves = collectLeaves(tree)
    .map(({ rev, opts }) => ({ rev, deleted: Boolean(opts?.deleted), ids: histories.get(rev) }));
  const winner = winningRev({ rev_tree: tree });
  return { winner, leaves, torn };
}

const sorted = (leaves) => leaves.map((leaf) => JSON.stringify(leaf)).sort().join('\n');

// ---- random trees -----------------------------------------------------------------------------

// A history that grows, branches and dies; each revision is told with its whole path or only the
// newest part of it, in a shuffled order, some of them twice: as it arrives over bad links.
function randomTree() {
  const nodes = [];
  const roots = 1 + (random() < 0.1 ? 1 : 0);
  const long = random() < 0.15; // beyond the smaller limit
  const size = long ? 18 + below(20) : 1 + below(12);
  for (let i = 0; i < size; i++) {
    const grow = random() < (long ? 0.97 : 0.75);
    const parent = i < roots ? undefined : grow ? nodes.at(-1) : pick(nodes);
    nodes.push({
      pos: parent ? parent.pos + 1 : 1 + (i > 0 ? below(3) : 0),
      ids: [hex(32), ...(parent ? parent.ids : [])],
      deleted: random() < 0.15,
    });
  }
  const ops = nodes.filter(() => random() < 0.7).map((op) => (
    random() < 0.1 ? { ...op, ids: op.ids.slice(0, 1 + below(op.ids.length)) } : op));
  if (ops.length === 0) ops.push(nodes.at(-1));
  for (let i = ops.length - 1; i > 0; i--) { // most arrive in order, some late
    const j = random() < 0.3 ? below(i + 1) : i;
    [ops[i], ops[j]] = [ops[j], ops[i]];
  }
  if (random() < 0.2) ops.push(pick(ops));
  return ops;
}

async function randomTrees(limit, count) {
  const trees = Array.from({ length: count }, randomTree);
  const url = await makeDatabase(limit);
  await apply(url, trees);
  const answers = await read(url, count);
  let differ = 0, leaves = 0, stemmed = 0, unjudged = 0;
  trees.forEach((ops, i) => {
    const expected = oracle(ops, limit);
    leaves += answers[i].length;
    stemmed += answers[i].some(({ ids }) => ids.length === limit);
    if (answers[i][0].rev === expected.winner && sorted(answers[i]) === sorted(expected.leaves))
      return;
    if (expected.torn) {
      unjudged++;
      return;
    }
    differ++;
    console.log(`   tree ${i} differs:\n${JSON.stringify(ops)}\n--- ours\n${sorted(answers[i])}` +
      `\n--- pouchdb-merge, winner ${expected.winner}\n${sorted(expected.leaves)}`);
  });
  console.log(`   revs_limit ${limit}: ${count} trees, ${leaves} leaves, ${stemmed} cut to the limit, ` +
    `${unjudged} unjudged`);
  check(differ === 0, `${differ} trees differ`);
  check(unjudged <= UNJUDGED, `${unjudged} trees unjudged`);
}

const MORE = TREES + UNJUDGED;
const trees1000 = () => randomTrees(1000, MORE);
const trees20 = () => randomTrees(20, MORE);

// ---- golden vectors ---------------------------------------------------------------------------

async function vectors() {
  const file = new URL('../data/revtree.jsonl', import.meta.url);
  const all = readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  for (const limit of new Set(all.map((vector) => vector.limit))) {
    const some = all.filter((vector) => vector.limit === limit);
    const url = await makeDatabase(limit);
    await apply(url, some.map(({ ops }) => ops));
    const answers = await read(url, some.length);
    some.forEach((vector, i) => {
      const what = `vector ${i}, revs_limit ${limit}`;
      check(JSON.stringify(answers[i].map(({ rev }) => rev)) === JSON.stringify(vector.leaves),
        `order of the leaves of ${what}`);
      check(sorted(answers[i]) === sorted(vector.histories.map(
        ({ rev, deleted, ids }) => ({ rev, deleted, ids }))), `histories of ${what}`);
    });
    console.log(`   revs_limit ${limit}: ${some.length} vectors of CouchDB 3.5.0`);
  }
}

async function start() {
  lab = await startLab(25300);
}

await main([start, vectors, trees1000, trees20]);
