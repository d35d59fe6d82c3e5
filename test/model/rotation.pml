/*
 * Rotation of a column, and its gate, beside an application: see README.md, which
 * says what stands for what, and which function of the code is which part.
 *
 * Macros choose who takes part (APPS, JOBS, GATE, REWRITES, KILLS, RENEW) and, one
 * at a time, plant a mistake: MUTANT_*.
 */

#ifndef APPS
#define APPS 1		/* sessions of the application, 0 to 3 */
#endif
#ifndef STATEMENTS
#define STATEMENTS 1	/* statements of a transaction of the application */
#endif
#ifndef JOBS
#define JOBS 1		/* sessions that rotate, 0 to 2 */
#endif
#ifndef KILLS
#define KILLS 0		/* how often a job is killed; it is started again */
#endif
#ifndef REWRITES
#define REWRITES 0	/* how often a table is rewritten */
#endif
#ifndef PASSES
#define PASSES 2	/* kMaxPasses */
#endif

/* Keys. Each is the first of the list after the one before. NONE: no value. */
#define NONE 0
#define OLD 1
#define NEW 2
#define NEWER 3

/* Sessions. Bit p of a mask is session p. */
#define JOB_A 0
#define JOB_B 1
#define GATE_SESSION 2
#define APP_A 3
#define APP_B 4
#define DDL 5
#define APP_C 6
#define SESSIONS 7
#define Bit(p) (1 << (p))

/*
 * Rows 0 and 1 are there from the start, in table 0 and table 1: two partitions.
 * Row 2 is where a copy goes, in table 1.
 */
#define ROWS 3
#define TableOf(r) ((r) == 0 -> 0 : 1)
/* The pages of table 1 are 1 and 2; a rewrite swaps what they hold. */
#define RowAt(page) ((page) == 0 || !swapped -> (page) : 3 - (page))

typedef Row {
	byte key;	/* of the committed value */
	byte data;	/* what the application has written last */
	byte version;
	byte owner;	/* the session + 1 that has a new version, not committed; 0 */
	byte new_key;
	byte new_data
}
Row row[ROWS];

typedef Snapshot {
	bit held;
	byte key[ROWS];
	byte data[ROWS];
	byte version[ROWS];
	byte rewrites[2]
}
Snapshot snap[SESSIONS];

byte writing[2];	/* who holds ROW EXCLUSIVE on a table */
byte reading[2];	/* who holds ACCESS SHARE */
bit exclusive[2];	/* whether DDL holds ACCESS EXCLUSIVE */
byte rewrites[2];	/* how often the table was rewritten */
bit swapped;

byte waited_for[SESSIONS];	/* whose transactions a proof waits for */
byte turns;		/* jobs that are alive */
byte readers;		/* who is marked as a reader */
byte watching;		/* who watches what comes and goes while it waits */
byte missed;		/* of these, who may have missed an old value */
byte slices = 1;

bit switched;		/* from here on, no statement begins with an old key */
byte first = NEW;	/* the first key of the list of whoever begins now */
bit promised;		/* "the old key can be dropped" was said */
byte victim = SESSIONS;	/* the session to kill */

/* The promise, whenever a value is committed. */
#define RequireNoOld(r) assert(!(promised && row[r].key == OLD))

inline TakeSnapshot(p) {
	snap[p].held = 1;
	snap[p].key[0] = row[0].key; snap[p].data[0] = row[0].data;
	snap[p].version[0] = row[0].version;
	snap[p].key[1] = row[1].key; snap[p].data[1] = row[1].data;
	snap[p].version[1] = row[1].version;
	snap[p].key[2] = row[2].key; snap[p].data[2] = row[2].data;
	snap[p].version[2] = row[2].version;
	snap[p].rewrites[0] = rewrites[0]; snap[p].rewrites[1] = rewrites[1]
}

/* Nobody looks at a snapshot that is not held: all such states are one. */
inline DropSnapshot(p) {
	snap[p].held = 0;
	snap[p].key[0] = 0; snap[p].data[0] = 0; snap[p].version[0] = 0;
	snap[p].key[1] = 0; snap[p].data[1] = 0; snap[p].version[1] = 0;
	snap[p].key[2] = 0; snap[p].data[2] = 0; snap[p].version[2] = 0;
	snap[p].rewrites[0] = 0; snap[p].rewrites[1] = 0
}

/* A rewrite leaves nothing for an older snapshot to see. */
#define Sees(p, r) (snap[p].key[r] != NONE && \
	snap[p].rewrites[TableOf(r)] == rewrites[TableOf(r)])

inline EndRow(p, r, commits) {
	if
	:: row[r].owner == p + 1 ->
		if
		:: commits ->
			missed = missed | (row[r].key != NONE && row[r].key < row[r].new_key -> watching : 0);
			row[r].key = row[r].new_key;
			row[r].data = row[r].new_data;
			row[r].version++;
			RequireNoOld(r)
		:: else
		fi;
		row[r].owner = 0; row[r].new_key = 0; row[r].new_data = 0
	:: else
	fi
}

/* EndTransaction gives back all that a transaction holds. */
inline EndTransaction(p, commits) {
	EndRow(p, 0, commits);
	EndRow(p, 1, commits);
	EndRow(p, 2, commits);
	writing[0] = writing[0] & ~Bit(p); writing[1] = writing[1] & ~Bit(p);
	reading[0] = reading[0] & ~Bit(p); reading[1] = reading[1] & ~Bit(p);
	DropSnapshot(p);
	readers = readers & ~Bit(p);
	watching = watching & ~Bit(p); missed = missed & ~Bit(p);
	waited_for[JOB_A] = waited_for[JOB_A] & ~Bit(p);
	waited_for[JOB_B] = waited_for[JOB_B] & ~Bit(p);
	waited_for[GATE_SESSION] = waited_for[GATE_SESSION] & ~Bit(p)
}

#define Write(p, r, with, what) \
	row[r].owner = p + 1; row[r].new_key = with; row[r].new_data = what

/* ------------------------------------------------------------------ */
/* The application: a transaction, READ COMMITTED or REPEATABLE READ.  */

proctype App(byte p) {
	byte r, k, d, n;
	bit repeatable;

	if :: repeatable = 0 :: repeatable = 1 fi;
	do
	:: n < STATEMENTS -> n++;
		if
		:: atomic {	/* UPDATE, with a value that the application encrypts */
				if :: r = 0 :: r = 1 fi;
				if :: k = first :: !switched -> k = OLD fi;
				if :: !snap[p].held -> TakeSnapshot(p) :: else fi
			}
			atomic {
				!exclusive[TableOf(r)] ->
				writing[TableOf(r)] = writing[TableOf(r)] | Bit(p)
			}
			if
			:: atomic {
					row[r].owner == 0 || row[r].owner == p + 1 ->
					if
					:: repeatable && row[r].version != snap[p].version[r] ->
						goto failed
					:: else -> Write(p, r, k, (row[r].data + 1) % 4)
					fi
				}
			:: row[r].owner != 0 && row[r].owner != p + 1 -> goto failed
			fi
		:: atomic {	/* a function that reads a value and inserts it later */
				row[2].key == NONE && row[2].owner == 0 ->
				if :: !snap[p].held -> TakeSnapshot(p) :: else fi;
				if :: r = 0 :: r = 1 fi;
				if
				:: Sees(p, r) -> k = snap[p].key[r]; d = snap[p].data[r]
				:: else -> k = NONE
				fi
			}
			atomic {
				!exclusive[1] -> writing[1] = writing[1] | Bit(p)
			}
			atomic {
				if
				:: k != NONE && row[2].key == NONE && row[2].owner == 0 ->
					Write(p, 2, k, d)
				:: else
				fi
			}
		fi;
		/* The end of the statement. */
		atomic {
			r = 0; k = 0; d = 0;
			if :: !repeatable -> DropSnapshot(p) :: else fi
		}
	:: break
	od;
	if
	:: d_step { EndTransaction(p, 1) }
	:: goto failed
	:: true ->
end_stays_open:	false	/* for ever */
	fi;
	goto done;
failed:
	atomic { EndTransaction(p, 0) }
done:
	skip
}

/* ALTER TABLE or the like writes a table anew, and keeps no old versions. */
proctype Rewrite() {
	byte t, n;

	do
	:: n < REWRITES ->
		n++;
		if :: t == 0 -> t = 1 :: t = 0 fi;
end_waits:	atomic {
			writing[t] == 0 && reading[t] == 0 -> exclusive[t] = 1
		}
		d_step {
			rewrites[t]++;
			missed = missed | watching;
			swapped = (t == 1 -> !swapped : swapped);
			exclusive[t] = 0
		}
	:: break
	od
}

/* The application is told of the new list; and later perhaps of another. */
proctype Deploy() {
	switched = 1;
#ifdef RENEW
	first = NEWER
#endif
}

/* ------------------------------------------------------------------ */
/* What a proof and a gate have in common.                             */

/* CollectWriters, in its two steps. */
inline CollectSnapshots(p) {
	i = 0;
	do
	:: i < SESSIONS ->
		if
		:: i != p && snap[i].held && !(readers & Bit(i)) ->
			waited_for[p] = waited_for[p] | Bit(i)
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0
}

inline CollectLockHolders(p) {
	waited_for[p] = waited_for[p] |
		((writing[0] | writing[1]) & ~Bit(p));
	waited_for[p] = waited_for[p] |
		(exclusive[0] || exclusive[1] -> Bit(DDL) : 0)
}

/* Open partitions: a lock for each, then one snapshot. */
inline LockForReading(p) {
	atomic { !exclusive[0] -> reading[0] = reading[0] | Bit(p) }
	atomic { !exclusive[1] -> reading[1] = reading[1] | Bit(p) }
}

inline SnapshotForReading(p) {
#ifdef MUTANT_SNAPSHOT_BEFORE_LOCK
	d_step { TakeSnapshot(p) }
	LockForReading(p);
#else
	LockForReading(p);
	d_step { TakeSnapshot(p) }
#endif
}

/* ReadAll counts what is there, and what another key than `mine` encrypts. */
inline ReadAll(p, mine) {
	found = 0; others = 0; i = 0;
	do
	:: i < ROWS ->
		if
		:: Sees(p, i) ->
			found++;
			others = others + (snap[p].key[i] != mine -> 1 : 0)
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0
}

inline Promise() {
	promised = 1;
	RequireNoOld(0); RequireNoOld(1); RequireNoOld(2)
}

/* WaitForOldWriters and BeginReading. Goes to `no_promise` when time is up. */
inline ProveQuiet(p) {
#ifdef MUTANT_NO_WATCH
	d_step { readers = readers | Bit(p) }
#else
	d_step { readers = readers | Bit(p); watching = watching | Bit(p) }
#endif
#ifndef MUTANT_IGNORE_WRITERS
#ifdef MUTANT_LOCKS_BEFORE_SNAPSHOTS
	d_step { CollectLockHolders(p) }
	d_step { CollectSnapshots(p) }
#else
#ifndef MUTANT_IGNORE_SNAPSHOTS
	d_step { CollectSnapshots(p) }
#endif
	d_step { CollectLockHolders(p) }
#endif
	if
	:: waited_for[p] == 0
	:: d_step { waited_for[p] != 0 -> waited_for[p] = 0 }
		goto no_promise		/* lock_timeout */
	fi
#endif
}

/* ------------------------------------------------------------------ */
/* A job.                                                              */

/* WriteRow: the row is written only as the snapshot shows it. */
inline WriteRow(p, r, mine) {
	if
#ifdef MUTANT_NO_RECHECK
	:: row[r].owner == 0 -> Write(p, r, mine, snap[p].data[r])
#else
	:: row[r].owner == 0 && row[r].version == snap[p].version[r] ->
		Write(p, r, mine, snap[p].data[r])
#endif
	:: else
	fi
}

/* One batch: `count` pages from `page` on, all in one table. */
inline RunBatch(p, mine) {
	atomic {
		!exclusive[TableOf(page)] ->
		writing[TableOf(page)] = writing[TableOf(page)] | Bit(p)
	}
	d_step { TakeSnapshot(p) }
	do
	:: count > 0 ->
		atomic {
			count--;
			i = RowAt(page);
			page++;
			/* Keys that are not in the list decrypt nothing. */
			if
			:: Sees(p, i) && snap[p].key[i] < mine -> skip
			:: else -> i = ROWS
			fi
		}
		if
		:: i < ROWS ->
#ifdef MUTANT_WAITS_FOR_ROWS
			row[i].owner == 0;
#endif
			d_step { WriteRow(p, i, mine); i = 0 }
		:: else -> i = 0
		fi
	:: else -> break
	od;
	atomic {
		/* No write of the application is lost; only keys of the list. */
		assert(row[0].owner != p + 1 || row[0].new_data == row[0].data);
		assert(row[1].owner != p + 1 || row[1].new_data == row[1].data);
		assert(row[2].owner != p + 1 || row[2].new_data == row[2].data);
		assert(row[0].owner != p + 1 || row[0].new_key == pinned);
		assert(row[1].owner != p + 1 || row[1].new_key == pinned);
		assert(row[2].owner != p + 1 || row[2].new_key == pinned);
		EndTransaction(p, 1)
	}
}

/* Nothing is promised of a column without a token. */
#ifdef MUTANT_NO_FINAL_READING
#define IsReading(found) true
#else
#define IsReading(found) ((found) > 0)
#endif
#ifdef MUTANT_EMPTY_SNAPSHOT
#define IsProof(found) true
#else
#define IsProof(found) ((found) > 0)
#endif

#ifdef MUTANT_LIST_NOT_PINNED
#define Mine first
#else
#define Mine pinned
#endif

proctype Job(byte p) {
	byte pinned, page, last, count, pass, i, found, others;
	bit honest;	/* the proof began when nobody wrote with an old key any more */

start:
	{
		/* TakeTurn: one job of a column, or one of each slice. */
		atomic {
			if
			:: (turns & (slices == 1 -> Bit(JOB_A) | Bit(JOB_B) : Bit(p))) -> goto over
			:: else -> turns = turns | Bit(p); pinned = first
			fi
		}
		do
		:: pass < PASSES ->
			atomic {
				pass++;
				page = (slices == 2 && p == JOB_B -> 1 : 0);
				last = (slices == 2 && p == JOB_A -> 0 : 2)
			}
			do
			:: page <= last ->
				if :: count = 1 :: page == 1 -> count = 2 fi;
				RunBatch(p, Mine)
			:: else -> break
			od;
			if :: slices > 1 -> goto over :: else fi;
			honest = switched;
#ifndef MUTANT_NO_FINAL_READING
			ProveQuiet(p);
			SnapshotForReading(p);
			d_step { ReadAll(p, Mine) }
#endif
			atomic {
				if
				:: others == 0 && honest && IsReading(found) && !(missed & Bit(p)) -> Promise()
				:: else
				fi;
				found = (missed & Bit(p) -> 1 : 0);
				EndTransaction(p, 0);
				if :: others == 0 && found == 0 -> goto over :: else fi
			}
		:: else -> goto over
		od
	} unless {
		atomic { victim == p -> victim = SESSIONS }
		/* What is not committed is gone, the lock of the job as well. */
		d_step {
			EndTransaction(p, 0);
			turns = turns & ~Bit(p);
			waited_for[p] = 0;
			page = 0; last = 0; count = 0; pass = 0; i = 0; honest = 0;
			found = 0; others = 0
		}
		goto start
	}
no_promise:
over:
	atomic {
		EndTransaction(p, 0);
		turns = turns & ~Bit(p)
	}
}

/* A backend ends at any place, and the job is started again. */
proctype Killer() {
	byte n;

	do
	:: n < KILLS ->
		n++;
end_idle:	if
		:: atomic { turns & Bit(JOB_A) -> victim = JOB_A }
		:: atomic { turns & Bit(JOB_B) -> victim = JOB_B }
		fi
	:: break
	od
}

/* ------------------------------------------------------------------ */
/* fernet_assert_rotated. Whoever calls it has told all applications.  */

proctype Gate(byte p) {
	byte mine, i, found, others;

end_not_told:
	switched;
	mine = first;
#ifdef MUTANT_EMPTY_SNAPSHOT
	/* REPEATABLE READ: the snapshot is as old as the transaction. */
	d_step { TakeSnapshot(p) }
#endif
	if
	:: turns != 0 -> goto no_promise	/* RequireNoOtherJob */
	:: turns == 0
	fi;
	ProveQuiet(p);
#ifdef MUTANT_EMPTY_SNAPSHOT
	LockForReading(p);
#else
	SnapshotForReading(p);
#endif
	d_step {
		ReadAll(p, mine);
		if
		:: others == 0 && IsProof(found) && !(missed & Bit(p)) -> Promise()
		:: else
		fi
	}
no_promise:
	atomic {
		EndTransaction(p, 0);
		waited_for[p] = 0
	}
}

init {
	atomic {
		/* Without a job, most of its work is done. */
		row[0].key = (JOBS > 0 -> OLD : NEW); row[1].key = OLD;
#if JOBS > 1
		if :: slices = 1 :: slices = 2 fi;
#endif
		run Deploy();
#if APPS > 0
		run App(APP_A);
#endif
#if APPS > 1
		run App(APP_B);
#endif
#if APPS > 2
		run App(APP_C);
#endif
#if JOBS > 0
		run Job(JOB_A);
#endif
#if JOBS > 1
		run Job(JOB_B);
#endif
#ifdef GATE
		run Gate(GATE_SESSION);
#endif
#if REWRITES > 0
		run Rewrite();
#endif
#if KILLS > 0
		run Killer()
#endif
	}
}
