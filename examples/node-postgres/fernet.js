// The key of a session, and the errors of pg_fernet: copy this file.

// withKeys adds the keys to the configuration of a Client or Pool. They travel in
// the startup packet, so that no statement carries them. A key, or several with
// commas and without spaces: the first encrypts, all decrypt. withIndexKeys adds
// those of blind indexes likewise.
export const withKeys = (keys, config = {}) => withSetting('fernet.key', keys, config);
export const withIndexKeys = (keys, config = {}) =>
  withSetting('fernet.index_key', keys, config);

const withSetting = (name, value, config) => ({
  ...config,
  options: [config.options, `-c ${name}=${value}`].filter(Boolean).join(' '),
});

// transaction runs work(client) in a transaction that has the keys: for a pool
// whose connections go through PgBouncer, which refuses them in the startup
// packet. The session loses them at the end, so that the next client does not
// get them.
export async function transaction(pool, keys, work) {
  const client = await pool.connect();
  let failure;
  try {
    await client.query('BEGIN');
    // The key is a bind parameter: it is not in the statement.
    await client.query("SELECT set_config('fernet.key', $1, true)", [keys]);
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    failure = error;
    // A connection that cannot roll back is useless.
    await client.query('ROLLBACK').then(() => { failure = undefined; }, () => {});
    throw error;
  } finally {
    client.release(failure);
  }
}

// The SQLSTATEs that an application may handle: error.code of the error that a
// query throws.
export const NO_KEY = 'PF001';
export const NOT_A_TOKEN = 'PF003';
export const WRONG_KEY = 'PF004';
export const NOT_ROTATED = 'PF007';
