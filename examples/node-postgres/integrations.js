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

// findContact finds a contact by its encrypted email; undefined when there is none.
// The session needs fernet.index_key, too.
export async function findContact(db, email) {
  const { rows } = await db.query(
    `SELECT id FROM contact
     WHERE email_index = ANY (fernet_blind_indexes($1::text, 'contact.email'))`,
    [email],
  );
  return rows[0]?.id;
}
