/*
 * What any function in C costs: its argument is detoasted, and given back.
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(trivial);

Datum
trivial(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(PG_GETARG_VARLENA_PP(0));
}
