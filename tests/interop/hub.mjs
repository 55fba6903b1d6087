// A hub of another make: npm pouchdb-express-router over PouchDB with LevelDB, behind TLS and Basic
// authentication, as an installation would have a CouchDB.
//   node hub.mjs ADDRESS PORT DIR CERT KEY   (HUB_USERS=name:password[,name:password…])
// HUB_USERS=* takes everybody: a gate in front of it has asked who comes.
import { readFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import express from 'express';
import PouchDB from 'pouchdb';
import router from 'pouchdb-express-router';
import './aborted.mjs';

const [address, port, dir, cert, key] = process.argv.slice(2);
const users = new Set((process.env.HUB_USERS || '').split(',')
  .map((user) => `Basic ${Buffer.from(user).toString('base64')}`));
const app = express();

app.use((req, res, next) => {
  if (process.env.HUB_USERS === '*' || users.has(req.headers.authorization)) next();
  else res.status(401).json({ error: 'unauthorized', reason: 'You are not authorized.' });
});
app.use(express.json({ limit: '64mb' }));
app.use('/', router(PouchDB.defaults({ prefix: dir + path.sep })));
https.createServer({ cert: readFileSync(cert), key: readFileSync(key) }, app)
  .listen(Number(port), address, () => console.log('listening'));
