#!/usr/bin/env node
// Re-encrypts every token of a column with the first key, while the application
// runs:
//
//   FERNET_KEY=new,old node rotate.js integration api_token
//
// The PG* variables say where the database is. Connect directly, not through
// the transaction pooling of PgBouncer.

import { argv, env, exit } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import pg from 'pg';
import { withKeys } from './fernet.js';

// rotate resolves to the counts { rotated, unchanged, failed } once every value
// is encrypted with the first key. Otherwise it rejects with PF007: call it
// again. `report` gets the progress, line by line.
export async function rotate(config, table, column, {
  report = console.log, every = 5000, batchRows = 5000, pause = '0',
} = {}) {
  const worker = new pg.Client(config);
  const watcher = new pg.Client(config);
  const done = new AbortController();
  // A lost connection makes its query fail; nothing else reports it.
  for (const client of [worker, watcher]) client.on('error', () => {});
  await Promise.all([worker.connect(), watcher.connect()]);
  try {
    const watching = watch(watcher, worker, report, every, done.signal)
      .catch((error) => report(`the progress is unknown: ${error.message}`));
    // The procedure commits after each batch, so it must not be in a
    // transaction.
    const { rows: [counts] } = await worker.query(
      'CALL fernet_rotate_column($1, $2, batch_rows => $3, pause => $4)',
      [table, column, batchRows, pause],
    ).finally(() => done.abort());
    await watching;
    await worker.query('SELECT fernet_assert_rotated($1, $2, allow_empty => true)', [table, column]);
    // bigint comes as a string.
    return Object.fromEntries(
      Object.entries(counts).map(([name, count]) => [name, Number(count)]));
  } finally {
    await Promise.all([worker.end(), watcher.end()]);
  }
}

// watch reports the progress of `worker` until it ends.
async function watch(watcher, worker, report, every, signal) {
  while (await sleep(every, true, { signal }).catch(() => false)) {
    const { rows: [progress] } = await watcher.query(
      `SELECT round(100 * share) AS percent, rotated, time_left::interval(0)::text AS left
       FROM fernet_rotation_progress WHERE pid = $1`,
      [worker.processID],
    );
    if (progress) {
      report(`${progress.percent ?? 0} %, ${progress.rotated} rotated, ` +
        `${progress.left ?? 'unknown time'} left`);
    }
  }
}

if (import.meta.url === pathToFileURL(argv[1]).href) {
  if (!env.FERNET_KEY || argv.length !== 4) {
    console.error('Usage: FERNET_KEY=new,old node rotate.js TABLE COLUMN');
    exit(2);
  }
  try {
    console.log(await rotate(withKeys(env.FERNET_KEY), argv[2], argv[3]));
    console.log('Every value is encrypted with the first key: the other keys can be dropped.');
  } catch (error) {
    console.error(`${error.code ?? 'error'}: ${error.message}`);
    exit(1);
  }
}
