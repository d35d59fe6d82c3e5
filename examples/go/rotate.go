package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Counts counts the values of a column by what the rotation did.
type Counts struct{ Rotated, Unchanged, Failed int64 }

// Rotation says what to rotate, and how.
type Rotation struct {
	Table, Column string

	BatchRows int           // rows between two commits; 0: 5000
	Pause     time.Duration // after each batch
	Every     time.Duration // between two reports; 0: 5 seconds
	Report    func(string)  // gets the progress, line by line; nil: no reports
}

// Run re-encrypts every token of the column with the first key of db, while the
// application runs. If values are left, the error is PF007: run it again. The
// database must be reached directly, not through transaction pooling.
func (r Rotation) Run(ctx context.Context, db *sql.DB) (counts Counts, err error) {
	if r.BatchRows == 0 {
		r.BatchRows = 5000
	}
	if r.Every == 0 {
		r.Every = 5 * time.Second
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return counts, err
	}
	defer conn.Close()
	var pid int
	if err := conn.QueryRowContext(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return counts, err
	}
	if r.Report != nil {
		watching, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.watch(watching, db, pid)
		}()
		defer func() {
			stop()
			<-done
		}()
	}

	// The procedure commits after each batch, so it must not be in a
	// transaction.
	err = conn.QueryRowContext(ctx,
		"CALL fernet_rotate_column($1, $2, batch_rows => $3, pause => make_interval(secs => $4))",
		r.Table, r.Column, r.BatchRows, r.Pause.Seconds(),
	).Scan(&counts.Rotated, &counts.Unchanged, &counts.Failed)
	if err != nil {
		return counts, err
	}
	_, err = conn.ExecContext(ctx, "SELECT fernet_assert_rotated($1, $2, allow_empty => true)", r.Table, r.Column)
	return counts, err
}

// watch reports the progress of the session pid, on another connection.
func (r Rotation) watch(ctx context.Context, db *sql.DB, pid int) {
	ticker := time.NewTicker(r.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		var percent, rotated int64
		var left string
		err := db.QueryRowContext(ctx, `
			SELECT coalesce(round(100 * share), 0)::bigint, rotated,
			       coalesce(time_left::interval(0)::text, 'unknown time')
			FROM fernet_rotation_progress WHERE pid = $1`, pid,
		).Scan(&percent, &rotated, &left)
		switch {
		case err == nil:
			r.Report(fmt.Sprintf("%d %%, %d rotated, %s left", percent, rotated, left))
		case err != sql.ErrNoRows && ctx.Err() == nil:
			r.Report(fmt.Sprintf("the progress is unknown: %v", err))
		}
	}
}
