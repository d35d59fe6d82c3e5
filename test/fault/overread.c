/*
 * A function that does what no function may, for servers under a tool that
 * watches their memory: the tests of the suite sanitize call it first, to see
 * that the tool would have seen it.
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(fault_overread);

/* fault_overread(over integer) returns integer; over is 0 or more */
Datum
fault_overread(PG_FUNCTION_ARGS)
{
	int32		over = PG_GETARG_INT32(0);
	volatile char *block = calloc(16, 1);
	int32		value;

	if (block == NULL)
		ereport(ERROR, errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"));
	value = block[16 + over];
	free((void *) block);
	/* Whatever was read, this is more than an integer can hold. */
	PG_RETURN_INT32((value & 1) + 1 + PG_INT32_MAX);
}
