package main

import (
	"context"
	"database/sql"
)

// Queryer is what *sql.DB, *sql.Conn and *sql.Tx share.
type Queryer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Save encrypts the API token of an integration.
func Save(ctx context.Context, db Queryer, name, apiToken string) error {
	_, err := db.ExecContext(ctx, `
		INSERT INTO integration (name, api_token) VALUES ($1, fernet_encrypt($2::text))
		ON CONFLICT (name) DO UPDATE SET api_token = excluded.api_token`,
		name, apiToken)
	return err
}

// Load decrypts it. It returns sql.ErrNoRows if there is none.
func Load(ctx context.Context, db Queryer, name string) (apiToken string, err error) {
	err = db.QueryRowContext(ctx,
		"SELECT fernet_decrypt(api_token) FROM integration WHERE name = $1", name,
	).Scan(&apiToken)
	return apiToken, err
}

// FindContact finds a contact by its encrypted email. It returns sql.ErrNoRows
// if there is none. The session needs fernet.index_key, too.
func FindContact(ctx context.Context, db Queryer, email string) (id int64, err error) {
	err = db.QueryRowContext(ctx, `
		SELECT id FROM contact
		WHERE email_index = ANY (fernet_blind_indexes($1::text, 'contact.email'))`,
		email,
	).Scan(&id)
	return id, err
}
