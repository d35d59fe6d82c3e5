package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fernet/fernet-go"
)

// Keys that everybody knows. Take yours from where your other secrets are.
const (
	oldKey = "this-is-test-key-1-do-not-use-it-anywhere-A="
	newKey = "this-is-test-key-2-do-not-use-it-anywhere-A="
)

//go:embed schema.sql
var schema string

var ctx = context.Background()

// openForTest returns a pool that is closed at the end of the test.
func openForTest(t *testing.T, keys string) *sql.DB {
	t.Helper()
	return openIndexedForTest(t, keys, "")
}

func openIndexedForTest(t *testing.T, keys, indexKeys string) *sql.DB {
	t.Helper()
	db, err := OpenWithIndexKeys("", keys, indexKeys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func mustExec(t *testing.T, db Queryer, query string) {
	t.Helper()
	if _, err := db.ExecContext(ctx, query); err != nil {
		t.Fatal(err)
	}
}

func mustSave(t *testing.T, db Queryer, name, apiToken string) {
	t.Helper()
	if err := Save(ctx, db, name, apiToken); err != nil {
		t.Fatal(err)
	}
}

func mustLoad(t *testing.T, db Queryer, name, want string) {
	t.Helper()
	if got, err := Load(ctx, db, name); err != nil || got != want {
		t.Fatalf("Load(%q) is %q, %v; want %q", name, got, err, want)
	}
}

func mustFail(t *testing.T, err error, state string) {
	t.Helper()
	if got := SQLState(err); got != state {
		t.Fatalf("SQLSTATE %q of error %v; want %q", got, err, state)
	}
}

// mustReadOutside reads a token from the table and decrypts it with the package
// fernet-go.
func mustReadOutside(t *testing.T, db Queryer, key, name, want string) {
	t.Helper()
	var token string
	if err := db.QueryRowContext(ctx,
		"SELECT api_token FROM integration WHERE name = $1", name).Scan(&token); err != nil {
		t.Fatal(err)
	}
	got := fernet.VerifyAndDecrypt([]byte(token), time.Hour, fernet.MustDecodeKeys(key))
	if string(got) != want {
		t.Fatalf("fernet-go reads %q; want %q", got, want)
	}
}

// TestLifeOfAKey needs an empty database, which the PG* variables name. Each
// part continues where the one before ended.
func TestLifeOfAKey(t *testing.T) {
	keyless := openForTest(t, "")
	keyless.SetMaxOpenConns(1)
	old := openForTest(t, oldKey)
	both := openForTest(t, newKey+","+oldKey)
	current := openForTest(t, newKey)
	mustExec(t, keyless, schema)

	step := func(name string, f func(t *testing.T)) {
		if !t.Run(name, f) {
			t.FailNow()
		}
	}

	step("write and read, with the key in the connection options", func(t *testing.T) {
		mustSave(t, old, "chat", "my API token")
		mustLoad(t, old, "chat", "my API token")
		if _, err := Load(ctx, old, "unknown"); err != sql.ErrNoRows {
			t.Fatal(err)
		}
	})

	step("write and read, with the key in the transaction", func(t *testing.T) {
		err := InTransaction(ctx, keyless, oldKey, func(tx *sql.Tx) error {
			mustSave(t, tx, "wiki", "zażółć 🔑")
			mustLoad(t, tx, "wiki", "zażółć 🔑")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		mustLoad(t, old, "wiki", "zażółć 🔑")
		// The pool has one connection: this is the same one, without the key.
		_, err = Load(ctx, keyless, "wiki")
		mustFail(t, err, NoKey)
	})

	step("a contact is found by its email, also while the index key is replaced", func(t *testing.T) {
		indexed := openIndexedForTest(t, oldKey, oldKey)
		mustExec(t, indexed, `INSERT INTO contact (email)
			SELECT fernet_encrypt(name || '@example.com') FROM unnest('{ann,bob}'::text[]) AS name`)
		want, err := FindContact(ctx, indexed, "bob@example.com")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := FindContact(ctx, indexed, "eve@example.com"); err != sql.ErrNoRows {
			t.Fatal(err)
		}
		renewing := openIndexedForTest(t, "", newKey+","+oldKey)
		if got, err := FindContact(ctx, renewing, "bob@example.com"); err != nil || got != want {
			t.Fatalf("found %d, %v; want %d", got, err, want)
		}
	})

	step("a transaction that fails leaves neither key nor row", func(t *testing.T) {
		changed := errors.New("changed my mind")
		err := InTransaction(ctx, keyless, oldKey, func(tx *sql.Tx) error {
			mustSave(t, tx, "mail", "lost")
			return changed
		})
		if err != changed {
			t.Fatal(err)
		}
		_, err = Load(ctx, keyless, "wiki")
		mustFail(t, err, NoKey)
		if _, err := Load(ctx, old, "mail"); err != sql.ErrNoRows {
			t.Fatal(err)
		}
	})

	step("what the table holds are tokens that fernet-go reads", func(t *testing.T) {
		mustReadOutside(t, keyless, oldKey, "chat", "my API token")
	})

	step("each error has an SQLSTATE", func(t *testing.T) {
		mustFail(t, Save(ctx, keyless, "chat", "x"), NoKey)
		_, err := Load(ctx, current, "chat")
		mustFail(t, err, WrongKey)
		_, err = old.ExecContext(ctx, "SELECT fernet_decrypt('no token')")
		mustFail(t, err, NotAToken)
		// The domain refuses what is not encrypted.
		_, err = old.ExecContext(ctx, "UPDATE integration SET api_token = $1", "plaintext")
		mustFail(t, err, "23514")
		if strings.Contains(err.Error(), "plaintext") {
			t.Fatal("the error shows the plaintext")
		}
	})

	rotation := Rotation{Table: "integration", Column: "api_token"}
	step("rotate to a new key, and see how far it is", func(t *testing.T) {
		mustExec(t, old, `
			INSERT INTO integration
			SELECT 'bulk ' || n, fernet_encrypt('secret ' || n) FROM generate_series(1, 2000) AS n`)
		// The application is deployed with both keys first.
		mustSave(t, both, "new", "under the new key")
		_, err := both.ExecContext(ctx, "SELECT fernet_assert_rotated('integration', 'api_token')")
		mustFail(t, err, NotRotated)
		// A rotation cannot run in a transaction block.
		err = InTransaction(ctx, keyless, newKey+","+oldKey, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "CALL fernet_rotate_column('integration', 'api_token')")
			return err
		})
		mustFail(t, err, "2D000")

		// Slow and in small batches, so that there is progress to report. The
		// first report cancels the rotation; its committed batches stay.
		var reports []string
		slow := rotation
		slow.BatchRows, slow.Pause, slow.Every = 100, 50*time.Millisecond, 50*time.Millisecond
		slow.Report = func(line string) {
			reports = append(reports, line)
			keyless.ExecContext(ctx, "SELECT pg_terminate_backend(pid) FROM fernet_rotation_progress")
		}
		_, err = slow.Run(ctx, both)
		mustFail(t, err, "57P01")
		if !regexp.MustCompile(`^[1-9]\d? %, [1-9]\d* rotated, \d\d:\d\d:\d\d left$`).MatchString(reports[0]) {
			t.Fatal(reports)
		}

		// The second run does the rest.
		counts, err := rotation.Run(ctx, both)
		if err != nil {
			t.Fatal(err)
		}
		if counts.Rotated == 0 || counts.Unchanged < 2 || counts.Rotated+counts.Unchanged != 2003 {
			t.Fatal(counts)
		}
	})

	step("drop the old key", func(t *testing.T) {
		mustLoad(t, current, "chat", "my API token")
		mustLoad(t, current, "bulk 2000", "secret 2000")
		mustReadOutside(t, keyless, newKey, "chat", "my API token")
		_, err := Load(ctx, old, "chat")
		mustFail(t, err, WrongKey)
	})
}
