// The life of a key, in order: each test continues where the one before ended.
// The tests need a database of their own, which the PG* variables name.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import fernet from 'fernet';
import pg from 'pg';
import { NO_KEY, NOT_A_TOKEN, NOT_ROTATED, WRONG_KEY, transaction, withIndexKeys, withKeys } from './fernet.js';
import { findContact, load, save } from './integrations.js';
import { rotate } from './rotate.js';

// Keys that everybody knows. Take yours from where your other secrets are.
const oldKey = 'this-is-test-key-1-do-not-use-it-anywhere-A=';
const newKey = 'this-is-test-key-2-do-not-use-it-anywhere-A=';

const pools = [];
const poolWith = (config) => {
  const pool = new pg.Pool({ max: 1, ...config });
  pools.push(pool);
  return pool;
};
const keyless = poolWith({});
const old = poolWith(withKeys(oldKey));
const both = poolWith(withKeys(`${newKey},${oldKey}`));
const current = poolWith(withKeys(newKey));

const tokenOf = async (name) =>
  (await keyless.query('SELECT api_token FROM integration WHERE name = $1', [name])).rows[0].api_token;

// This reads a token without the database. The ttl of 0 allows any age.
const readOutside = (key, token) =>
  new fernet.Token({ secret: new fernet.Secret(key), token, ttl: 0 }).decode();

before(async () => {
  await keyless.query(await readFile(new URL('schema.sql', import.meta.url), 'utf8'));
});
after(() => Promise.all(pools.map((pool) => pool.end())));

test('write and read, with the key in the connection options', async () => {
  await save(old, 'chat', 'my API token');
  assert.equal(await load(old, 'chat'), 'my API token');
  assert.equal(await load(old, 'unknown'), undefined);
});

test('write and read, with the key in the transaction', async () => {
  await transaction(keyless, oldKey, (client) => save(client, 'wiki', 'zażółć 🔑'));
  assert.equal(await transaction(keyless, oldKey, (client) => load(client, 'wiki')), 'zażółć 🔑');
  // The pool has one connection: this is the same one, without the key.
  await assert.rejects(load(keyless, 'wiki'), { code: NO_KEY });
});

test('a contact is found by its email, also while the index key is replaced', async () => {
  const indexed = poolWith(withIndexKeys(oldKey, withKeys(oldKey)));
  const { rows } = await indexed.query(
    `INSERT INTO contact (email) SELECT fernet_encrypt(email)
     FROM unnest($1::text[]) AS email RETURNING id`,
    [['ann@example.com', 'bob@example.com']],
  );
  assert.equal(await findContact(indexed, 'bob@example.com'), rows[1].id);
  assert.equal(await findContact(indexed, 'eve@example.com'), undefined);
  const renewing = poolWith(withIndexKeys(`${newKey},${oldKey}`));
  assert.equal(await findContact(renewing, 'bob@example.com'), rows[1].id);
});

test('a transaction that fails leaves neither key nor row', async () => {
  await assert.rejects(transaction(keyless, oldKey, async (client) => {
    await save(client, 'mail', 'lost');
    throw new Error('changed my mind');
  }), { message: 'changed my mind' });
  await assert.rejects(load(keyless, 'wiki'), { code: NO_KEY });
  assert.equal(await load(old, 'mail'), undefined);
});

test('what the table holds are tokens that the npm package fernet reads', async () => {
  const token = await tokenOf('chat');
  assert.match(token, /^gAAAAA/);
  assert.equal(readOutside(oldKey, token), 'my API token');
});

test('each error has an SQLSTATE', async () => {
  await assert.rejects(save(keyless, 'chat', 'x'), { code: NO_KEY });
  await assert.rejects(load(current, 'chat'), { code: WRONG_KEY });
  await assert.rejects(old.query("SELECT fernet_decrypt('no token')"), { code: NOT_A_TOKEN });
  // The domain refuses what is not encrypted.
  await assert.rejects(
    old.query("UPDATE integration SET api_token = 'plaintext'"),
    (error) => error.code === '23514' && !JSON.stringify(error).includes('plaintext'),
  );
});

test('rotate to a new key, and see how far it is', async () => {
  await old.query(`
    INSERT INTO integration
    SELECT 'bulk ' || n, fernet_encrypt('secret ' || n) FROM generate_series(1, 2000) AS n`);
  // The application is deployed with both keys first.
  await save(both, 'new', 'under the new key');
  await assert.rejects(
    both.query("SELECT fernet_assert_rotated('integration', 'api_token')"),
    { code: NOT_ROTATED },
  );
  // A rotation cannot run in a transaction block.
  await assert.rejects(
    transaction(keyless, `${newKey},${oldKey}`,
      (client) => client.query("CALL fernet_rotate_column('integration', 'api_token')")),
    { code: '2D000' },
  );

  // Slow and in small batches, so that there is progress to report. The first
  // report cancels the rotation; its committed batches stay.
  const slowly = { every: 50, batchRows: 100, pause: '50 ms' };
  const progress = [];
  await assert.rejects(
    rotate(withKeys(`${newKey},${oldKey}`), 'integration', 'api_token', {
      ...slowly,
      report: (line) => {
        progress.push(line);
        keyless.query('SELECT pg_terminate_backend(pid) FROM fernet_rotation_progress');
      },
    }),
    { code: '57P01' },
  );
  assert.match(progress[0], /^[1-9]\d? %, [1-9]\d* rotated, \d\d:\d\d:\d\d left$/);

  // The second call does the rest.
  const counts = await rotate(withKeys(`${newKey},${oldKey}`), 'integration', 'api_token');
  assert.equal(counts.rotated + counts.unchanged, 2003);
  assert.ok(counts.rotated > 0 && counts.unchanged > 1, JSON.stringify(counts));
});

test('drop the old key', async () => {
  assert.equal(await load(current, 'chat'), 'my API token');
  assert.equal(await load(current, 'bulk 2000'), 'secret 2000');
  assert.equal(readOutside(newKey, await tokenOf('chat')), 'my API token');
  await assert.rejects(load(old, 'chat'), { code: WRONG_KEY });
});
