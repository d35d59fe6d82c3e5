// An application that keeps the API tokens of integrations. The database
// encrypts and decrypts them. It uses database/sql with pgx.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/stdlib"
)

// The SQLSTATEs that an application may handle.
const (
	NoKey      = "PF001"
	NotAToken  = "PF003"
	WrongKey   = "PF004"
	NotRotated = "PF007"
)

// SQLState returns the SQLSTATE of an error, or "" if it is not from the
// server.
func SQLState(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// Open returns a pool whose sessions have the keys: one, or several with commas.
// The first encrypts, all decrypt. They travel in the startup packet, so that no
// statement carries them. The PG* variables complete dsn.
func Open(dsn, keys string) (*sql.DB, error) {
	return OpenWithIndexKeys(dsn, keys, "")
}

// OpenWithIndexKeys does so, and gives the sessions the keys of blind indexes.
func OpenWithIndexKeys(dsn, keys, indexKeys string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	if keys != "" {
		config.RuntimeParams["fernet.key"] = keys
	}
	if indexKeys != "" {
		config.RuntimeParams["fernet.index_key"] = indexKeys
	}
	return stdlib.OpenDB(*config), nil
}

// InTransaction runs work in a transaction that has the keys: for a pool whose
// connections go through PgBouncer, which refuses them in the startup packet.
// The session loses them at the end, so that the next client does not get them.
func InTransaction(ctx context.Context, db *sql.DB, keys string, work func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	// Rollback does nothing after a Commit.
	defer tx.Rollback()

	// The keys are a bind parameter: they are not in the statement, unless
	// PreferSimpleProtocol is set.
	if _, err := tx.ExecContext(ctx, "SELECT set_config('fernet.key', $1, true)", keys); err != nil {
		return fmt.Errorf("setting the key: %w", err)
	}
	if err := work(tx); err != nil {
		return err
	}
	return tx.Commit()
}
