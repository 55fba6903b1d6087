// The same questions to certstore-lab (through PouchDB's HTTP adapter) and to a PouchDB with
// LevelDB: equal answers, errors and statuses.  Behind them what only HTTP shows: ETag, HEAD,
// content types, feeds that wait, time limits.
import path from 'node:path';
import PouchDB from 'pouchdb';
import { call, check, hex, main, onEnd, scratch, sleep, startLab } from './rig.mjs';

const dir = scratch();
const rev = (n, letter) => `${n}-${letter.repeat(32)}`;
let lab, both;

async function start() {
  lab = await startLab(25400);
  both = [new PouchDB(lab.url), new PouchDB(path.join(dir, 'judge'))];
  onEnd(() => both[1].close());
}

// ---- differential -----------------------------------------------------------------------------

// What may differ: sequences, names of databases and of generated revisions (only their generation
// counts), offsets, texts of errors.
function plain(value, key = '') {
  if (value instanceof Error || value?.status >= 400)
    return { error: value.name, status: value.status };
  if (Array.isArray(value)) return value.map((item) => plain(item, key));
  if (value && typeof value === 'object') {
    const keys = Object.keys(value).filter((name) => !['seq', 'last_seq', 'offset', 'pending',
      'update_seq', '_local_seq', 'message', 'reason', 'stack', 'docId'].includes(name)).sort();
    return Object.fromEntries(keys.map((name) => [name, plain(value[name], name)]));
  }
  if (typeof value === 'string' && /^(_?rev|ids)$/.test(key) && !/^(\d+-)?([a-f])\2{31}$/.test(value))
    return value.includes('-') ? `${value.split('-')[0]}-generated` : 'generated';
  return value;
}

async function ask(text, fn) {
  const [ours, judge] = await Promise.all(both.map((db) => fn(db).catch((error) => error)));
  const [a, b] = [ours, judge].map((answer) => JSON.stringify(plain(answer), null, 1));
  check(a === b, `${text}:\n--- certstore-lab\n${a}\n--- PouchDB\n${b}`);
}

const path2 = (n, ...letters) => ({ start: n, ids: letters.map((letter) => letter.repeat(32)) });

async function writes() {
  await ask('replicated revisions', (db) => db.bulkDocs([
    { _id: 'plain', _rev: rev(1, 'a'), v: 1 },
    { _id: 'plain', _rev: rev(2, 'b'), _revisions: path2(2, 'b', 'a'), v: 2 },
    { _id: 'torn', _rev: rev(1, 'a'), v: 1 },
    { _id: 'torn', _rev: rev(2, 'c'), _revisions: path2(2, 'c', 'a'), v: 2 },
    { _id: 'torn', _rev: rev(2, 'd'), _revisions: path2(2, 'd', 'a'), v: 3 },
    { _id: 'torn', _rev: rev(3, 'e'), _revisions: path2(3, 'e', 'b', 'a'), _deleted: true },
    { _id: 'gone', _rev: rev(1, 'a'), v: 1 },
    { _id: 'gone', _rev: rev(2, 'b'), _revisions: path2(2, 'b', 'a'), _deleted: true },
    { _id: 'späße/ 日本', _rev: rev(1, 'f'), v: 'ü' },
  ], { new_edits: false }));
  await ask('a new document', (db) => db.put({ _id: 'new', v: 1 }));
  await ask('without its revision', (db) => db.put({ _id: 'new', v: 2 }));
  await ask('with an old revision', (db) => db.put({ _id: 'plain', _rev: rev(1, 'a'), v: 9 }));
  await ask('with an unknown revision', (db) => db.put({ _id: 'plain', _rev: rev(7, 'a'), v: 9 }));
  await ask('a revision for nothing', (db) => db.put({ _id: 'none', _rev: rev(1, 'a') }));
  await ask('on a leaf that lost', (db) => db.put({ _id: 'torn', _rev: rev(2, 'c'), v: 4 }));
  await ask('on from a tombstone', (db) => db.put({ _id: 'gone', v: 3 }));
  await ask('a second time', (db) => db.put({ _id: 'gone', v: 4 }));
  await ask('remove', async (db) => db.remove(await db.get('new')));
  await ask('remove again', async (db) => { // PouchDB says 409, CouchDB 404
    const { status: code } = await db.remove('new', rev(1, 'a')).catch((error) => error);
    return code === 404 || code === 409;
  });
  await ask('remove what is not there', (db) => db.remove('none', rev(1, 'a')));
  await ask('ids that are kept for others', (db) => db.put({ _id: '_odd' }));
  await ask('members that are kept', async (db) => { // PouchDB says 500, CouchDB 400
    const { name } = await db.put({ _id: 'odd', _odd: 1 }).catch((error) => error);
    return name;
  });
  await ask('many at once', (db) => db.bulkDocs([
    { _id: 'many1' }, { _id: 'plain', v: 1 }, { _id: 'many2', v: [1.5, null, { x: '"' }] },
    { _id: 'plain', _rev: rev(2, 'b'), _deleted: true }, { _id: 'many1', v: 2 }]));
}

async function reads() {
  for (const id of ['plain', 'torn', 'gone', 'new', 'none', 'späße/ 日本'])
    for (const options of [{}, { revs: true }, { conflicts: true }, { revs_info: true },
      { open_revs: 'all' }, { open_revs: 'all', revs: true }, { rev: rev(1, 'a') },
      { rev: rev(9, 'a') }, { open_revs: [rev(1, 'a'), rev(9, 'c')] }])
      await ask(`get ${id} ${JSON.stringify(options)}`, async (db) => {
        const answer = await db.get(id, options);
        if (answer._conflicts) answer._conflicts.sort();
        for (const row of answer._revs_info ?? []) // PouchDB does not tell tombstones apart
          if (row.status === 'deleted') row.status = 'available';
        if (!Array.isArray(answer)) return answer;
        // PouchDB's HTTP adapter makes an error of {missing: rev}.
        return answer.map((row) => (row.ok ? row : 'missing')).sort((a, b) => (JSON.stringify(plain(a)) < JSON.stringify(plain(b)) ? -1 : 1));
      });
  await ask('latest', async (db) => {
    const { _rev } = await db.get('many1');
    return db.get('many1', { rev: _rev, latest: true });
  });
  for (const options of [{}, { include_docs: true }, { startkey: 'many2' }, { endkey: 'many2' },
    { startkey: 'm', endkey: 'n' }, { endkey: 'many2', inclusive_end: false }, { descending: true },
    { descending: true, startkey: 'o', endkey: 'many1' }, { limit: 2 }, { skip: 2 },
    { limit: 1, skip: 1, descending: true }, { key: 'torn' }, { key: 'none' }, { limit: 0 },
    { keys: ['torn', 'none', 'gone', 'new', 'torn'] }, { keys: [] },
    { keys: ['torn', 'new'], include_docs: true }, { include_docs: true, conflicts: true }])
    await ask(`allDocs ${JSON.stringify(options)}`, async (db) => {
      const answer = await db.allDocs(options);
      for (const row of answer.rows) if (!options.include_docs) delete row.doc; // CouchDB: none
      return answer;
    });
  for (const options of [{}, { include_docs: true }, { style: 'all_docs' }, { limit: 2 },
    { descending: true, limit: 3 }, { doc_ids: ['plain', 'none', 'torn'] }, { since: 'now' },
    { style: 'all_docs', doc_ids: ['torn'] }, { include_docs: true, conflicts: true }])
    await ask(`changes ${JSON.stringify(options)}`, async (db) => {
      const { results } = await db.changes(options);
      for (const row of results) {
        row.changes = row.changes.map((change) => plain(change)).sort((a, b) =>
          (a.rev < b.rev ? -1 : 1));
        row.doc?._conflicts?.sort();
      }
      if (options.limit) return results.length; // PouchDB writes a batch in an order of its own
      return results.sort((a, b) => (a.id < b.id ? -1 : 1));
    });
  await ask('revsDiff', (db) => db.revsDiff({
    plain: [rev(1, 'a'), rev(2, 'b'), rev(3, 'f')], none: [rev(1, 'a')], torn: [rev(2, 'c')] }));
  await ask('bulkGet', (db) => db.bulkGet({ revs: true, docs: [
    { id: 'plain', rev: rev(1, 'a') }, { id: 'torn', rev: rev(2, 'd') }] }));
  await ask('counts', async (db) => (await db.info()).doc_count);
}

async function locals() {
  await ask('put', (db) => db.put({ _id: '_local/x', v: 1 }));
  await ask('get', (db) => db.get('_local/x'));
  await ask('replace', async (db) => db.put({ ...(await db.get('_local/x')), v: 2 }));
  await ask('none', (db) => db.get('_local/none'));
  await ask('never in the feed', async (db) =>
    (await db.changes()).results.filter(({ id }) => id.startsWith('_local')));
  await ask('remove', async (db) => {
    const { ok, id } = await db.remove(await db.get('_local/x'));
    return { ok, id };
  });
  await ask('gone', (db) => db.get('_local/x'));
}

async function compaction() {
  await ask('compact', (db) => db.compact());
  await ask('old body', (db) => db.get('torn', { rev: rev(1, 'a') }));
  await ask('leaf', (db) => db.get('torn', { rev: rev(2, 'd') }));
}

// ---- HTTP -------------------------------------------------------------------------------------

async function status(expected, url, options = {}, error = undefined) {
  const reply = await fetch(url, options);
  const text = await reply.text();
  check(reply.status === expected, `${options.method ?? 'GET'} ${url}: ${reply.status} ${text}`);
  if (error) check(JSON.parse(text).error === error, `${url}: ${text}`);
  return { reply, text };
}

const json = (body, method = 'POST') => ({
  method, body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } });

async function http() {
  const { origin, url } = lab;
  check((await call(`${origin}/`)).couchdb === 'Welcome', 'no welcome');
  check((await call(`${origin}/_up`)).status === 'ok', 'not up');
  check((await call(`${origin}/_all_dbs`)).includes('db'), 'a database is missing');
  check((await call(`${origin}/_uuids?count=2`)).uuids.length === 2, 'not two ids');
  for (const [method, name] of [['DELETE', '_all_dbs'], ['PUT', '_up'], ['POST', '_uuids'], ['PUT', '']])
    await status(405, `${origin}/${name}`, { method }, 'method_not_allowed');
  await status(400, `${origin}/${'a'.repeat(300)}`, { method: 'PUT' }, 'database_name_too_long');
  await status(412, url, { method: 'PUT' }, 'file_exists');
  await status(400, `${origin}/Bad`, { method: 'PUT' }, 'illegal_database_name');
  await status(404, `${origin}/nothing/`, {}, 'not_found');
  await status(404, `${origin}/nothing`, { method: 'DELETE' }, 'not_found');
  await status(400, `${url}?rev=1-x`, { method: 'DELETE' }, 'bad_request'); // an id came out empty
  await status(201, `${origin}/second`, { method: 'PUT' });
  await status(201, `${origin}/second/x`, json({ v: 1 }, 'PUT'));
  check((await call(`${origin}/_all_dbs`)).join() === 'db,second', 'not two databases');
  await status(200, `${origin}/second`, { method: 'DELETE' });
  check((await call(`${origin}/_all_dbs`)).join() === 'db', 'the database is still there');
  await status(201, `${origin}/second`, { method: 'PUT' });
  await status(404, `${origin}/second/x`, {}, 'not_found'); // made anew, not found again
  const head = await status(200, `${url}/`, { method: 'HEAD' });
  check(head.text === '', 'a body after HEAD');
  const { reply } = await status(200, `${url}/torn`);
  const tag = reply.headers.get('etag');
  check(/^"\d+-[0-9a-f]{32}"$/.test(tag), `ETag ${tag}`);
  check(reply.headers.get('cache-control') === 'must-revalidate', 'Cache-Control');
  await status(304, `${url}/torn`, { headers: { 'If-None-Match': tag } });
  await status(200, `${url}/torn`, { method: 'HEAD' });
  await status(405, `${url}/_bulk_docs`, {}, 'method_not_allowed');
  await status(415, `${url}/_bulk_docs`, { method: 'POST', body: '{}',
    headers: { 'Content-Type': 'text/plain' } }, 'bad_content_type');
  await status(415, `${url}/doc?new_edits=false`, { method: 'PUT', body: '--x--',
    headers: { 'Content-Type': 'multipart/related; boundary="x"' } }, 'bad_content_type');
  await status(400, `${url}/_changes?since=never`, {}, 'bad_request');
  await status(400, `${url}/_revs_diff`, json({ a: ['x'] }), 'bad_request');
  const { text } = await status(200, `${url}/_missing_revs`, json({ torn: ['9-x'] }));
  check(text.includes('"missing_revs"'), text);
  const bulk = await status(200, `${url}/_bulk_get`, json({ docs: [{ id: 'none', rev: '1-a' }] }));
  check(bulk.text.includes('"error":"not_found"'), bulk.text);
  await status(201, `${url}/_ensure_full_commit`, json({}));
  await status(200, `${url}/_security`, json({ admins: { names: [] } }, 'PUT'));
  check((await call(`${url}/_security`)).admins, 'no security object');
  await status(200, `${url}/_revs_limit`, json(500, 'PUT'));
  check(await call(`${url}/_revs_limit`) === 500, 'another limit');
  const { rev: newest } = await call(`${url}/purged`, 'PUT', { v: 1 });
  const purge = await status(201, `${url}/_purge`, json({ purged: [newest] }));
  check(purge.text === `{"purge_seq":null,"purged":{"purged":["${newest}"]}}\n`, purge.text);
  await status(404, `${url}/purged`, {}, 'not_found');
}

async function feeds() {
  const { url } = lab;
  const { last_seq: since } = await call(`${url}/_changes?since=now`);
  let from = Date.now();
  const took = () => Date.now() - from;
  const empty = await call(`${url}/_changes?feed=longpoll&since=${since}&timeout=300`);
  check(empty.results.length === 0 && empty.last_seq === since, 'a longpoll with changes');
  check(took() >= 290 && took() < 5000, `timeout of 300 ms after ${took()} ms`);
  check((await call(`${url}/_changes?since=0&limit=0`)).results.length === 0, 'limit=0 with rows');
  check((await call(`${url}/_changes?limit=0`)).pending > 0, 'nothing pending');

  const waiting = call(`${url}/_changes?feed=longpoll&since=${since}&include_docs=true`);
  await sleep(100);
  from = Date.now();
  await call(`${url}/woken`, 'PUT', { text: hex(4) });
  const woken = await waiting;
  check(took() < 3000 && woken.results[0].doc._id === 'woken', 'the parked feed was not woken');

  const stream = await fetch(`${url}/_changes?feed=continuous&since=${since}&heartbeat=100`);
  let text = '';
  for await (const chunk of stream.body) {
    text += Buffer.from(chunk).toString();
    if (/\n\n\n/.test(text)) break;
  }
  check(JSON.parse(text.split('\n')[0]).id === 'woken', `continuous: ${text}`);
  const lines = (await (await fetch(`${url}/_changes?feed=continuous&since=${since}&timeout=200`))
    .text()).trim().split('\n').map((line) => JSON.parse(line));
  check(lines.length === 2 && lines[1].last_seq === woken.last_seq, 'the end of a continuous feed');
}

await main([start, writes, reads, locals, compaction, http, feeds]);
