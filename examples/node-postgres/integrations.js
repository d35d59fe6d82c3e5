// The API tokens of integrations. The database encrypts and decrypts them; the
// session or transaction of `db`, a Client or Pool, must have the key.

export async function save(db, name, apiToken) {
  await db.query(
    `INSERT INTO integration (name, api_token) VALUES ($1, fernet_encrypt($2::text))
     ON CONFLICT (name) DO UPDATE SET api_token = excluded.api_token`,
    [name, apiToken],
  );
}

// load returns undefined when there is no such integration.
export async function load(db, name) {
  const { rows } = await db.query(
    'SELECT fernet_decrypt(api_token) AS api_token FROM integration WHERE name = $1',
    [name],
  );
  return rows[0]?.api_token;
}
