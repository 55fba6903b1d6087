// The peer of the replication benchmark: npm pouchdb-express-router over PouchDB (LevelDB).
//   node express_router.mjs ADDRESS PORT DIR
// The packages are those of tests/interop.
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(new URL('../interop/package.json', import.meta.url));
const express = require('express');
const PouchDB = require('pouchdb');
const router = require('pouchdb-express-router');
const [address, port, dir] = process.argv.slice(2);
const app = express();

app.use(express.json({ limit: '16mb' }));
app.use('/', router(PouchDB.defaults({ prefix: dir + path.sep })));
app.listen(Number(port), address, () => console.log('listening'));
