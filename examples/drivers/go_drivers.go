// Gives the key in FERNET_KEY to a session, in the way that the arguments say:
// pgx or libpq, options or bind. Prints the fingerprint that the session has.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"

	"github.com/jackc/pgx/v4"
	_ "github.com/lib/pq"
)

const fingerprint = "SELECT fingerprint FROM fernet_keys()"

var (
	ctx = context.Background()
	key = os.Getenv("FERNET_KEY")
)

func main() {
	run := map[string]func(bool) (string, error){"pgx": withPgx, "libpq": withLibPq}[os.Args[1]]
	got, err := run(os.Args[2] == "bind")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(got)
}

func withPgx(bind bool) (got string, err error) {
	config, err := pgx.ParseConfig("dbname=app")
	if err != nil {
		return "", err
	}
	if !bind {
		config.RuntimeParams["fernet.key"] = key
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	if bind {
		if _, err := conn.Exec(ctx, "SELECT set_config('fernet.key', $1, false)", key); err != nil {
			return "", err
		}
	}
	err = conn.QueryRow(ctx, fingerprint).Scan(&got)
	return got, err
}

func withLibPq(bind bool) (got string, err error) {
	dsn := "dbname=app sslmode=disable"
	if !bind {
		dsn += " options='-c fernet.key=" + key + "'"
	}
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		return "", err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if bind {
		if _, err := conn.ExecContext(ctx, "SELECT set_config('fernet.key', $1, false)", key); err != nil {
			return "", err
		}
	}
	err = conn.QueryRowContext(ctx, fingerprint).Scan(&got)
	return got, err
}
