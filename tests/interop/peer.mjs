// The peer: npm pouchdb-express-router over PouchDB with LevelDB in a directory.
//   node peer.mjs PORT DIR LOG
// Each document that is read or written by a replicator becomes a line of LOG before it is served,
// so that the count survives a SIGKILL.
import { appendFileSync } from 'node:fs';
import path from 'node:path';
import express from 'express';
import PouchDB from 'pouchdb';
import router from 'pouchdb-express-router';
import { ADDRESS } from './address.mjs';
import './aborted.mjs';

const [port, dir, log] = process.argv.slice(2);
const Peer = PouchDB.defaults({ prefix: dir + path.sep });
const app = express();

app.use(express.json({ limit: '16mb' }));
app.use((req, res, next) => {
  const lines = [];
  if (req.method === 'GET' && req.query.open_revs)
    lines.push(`read ${req.path} ${req.query.open_revs}`);
  if (req.method === 'POST' && req.path.endsWith('/_bulk_docs'))
    for (const doc of req.body.docs || []) lines.push(`write ${doc._id} ${doc._rev}`);
  if (req.method === 'GET' && req.path.endsWith('/_changes'))
    lines.push(`changes ${req.query.since}`);
  if (lines.length > 0) appendFileSync(log, `${lines.join('\n')}\n`);
  next();
});
app.use('/', router(Peer));
app.listen(Number(port), ADDRESS, () => console.log('listening'));
