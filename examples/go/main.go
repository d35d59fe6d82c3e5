package main

import (
	"context"
	"fmt"
	"os"
)

// The program rotates a column, from a job or by hand:
//
//	FERNET_KEY=new,old rotate integration api_token
//
// The PG* variables say where the database is.
func main() {
	keys := os.Getenv("FERNET_KEY")
	if keys == "" || len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "Usage: FERNET_KEY=new,old rotate TABLE COLUMN")
		os.Exit(2)
	}
	db, err := Open("", keys)
	if err == nil {
		defer db.Close()
		var counts Counts
		counts, err = Rotation{
			Table: os.Args[1], Column: os.Args[2], Report: func(line string) { fmt.Println(line) },
		}.Run(context.Background(), db)
		fmt.Printf("%d rotated, %d unchanged, %d failed\n", counts.Rotated, counts.Unchanged, counts.Failed)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("Every value is encrypted with the first key: the other keys can be dropped.")
}
