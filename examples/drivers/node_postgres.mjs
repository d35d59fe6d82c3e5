// node_postgres.mjs options|bind: gives the key in FERNET_KEY to a session, and
// prints the fingerprint that the session has.
import { createRequire } from 'node:module';

// Uses NODE_PATH, which "import" ignores.
const { Client } = createRequire(import.meta.url)('pg');
const key = process.env.FERNET_KEY;

const client = process.argv[2] === 'options'
  ? new Client({ database: 'app', options: `-c fernet.key=${key}` })
  : new Client({ database: 'app' });
await client.connect();
if (process.argv[2] === 'bind') {
  await client.query("SELECT set_config('fernet.key', $1, false)", [key]);
}
console.log((await client.query('SELECT fingerprint FROM fernet_keys()')).rows[0].fingerprint);
await client.end();
