/*
 * Rows that are not in the pages of their table, as those of a distributed table
 * or of a compressed chunk: every query that reads the table elsewhere.of reads
 * elsewhere.rows in its place. And an access method that is not heap, but has
 * all its functions.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "optimizer/planner.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/regproc.h"
#include "utils/varlena.h"

PG_MODULE_MAGIC;

void _PG_init(void);

static char *table_name = NULL;
static char *source_name = NULL;
static planner_hook_type next_planner = NULL;

static Oid find(const char *name)
{
	if (name == NULL || *name == '\0')
		return InvalidOid;
	return RangeVarGetRelid(makeRangeVarFromNameList(
			stringToQualifiedNameList(name
#if PG_VERSION_NUM >= 160000
				, NULL
#endif
				)), NoLock, true);
}

static void redirect(List *entries, Oid table, Oid source)
{
	ListCell *cell;

	foreach(cell, entries)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		if (entry->rtekind == RTE_RELATION && entry->relid == table)
		{
			LockRelationOid(source, AccessShareLock);
			entry->relid = source;
		}
		else if (entry->rtekind == RTE_SUBQUERY)
			redirect(entry->subquery->rtable, table, source);
	}
}

static PlannedStmt *plan(Query *query, const char *text, int options, ParamListInfo parameters)
{
	Oid table = find(table_name);
	Oid source = find(source_name);

	if (query->commandType == CMD_SELECT && OidIsValid(table) && OidIsValid(source))
	{
		redirect(query->rtable, table, source);
#if PG_VERSION_NUM >= 160000
		ListCell *cell;

		foreach(cell, query->rteperminfos)
		{
			RTEPermissionInfo *permissions = lfirst_node(RTEPermissionInfo, cell);

			if (permissions->relid == table)
				permissions->relid = source;
		}
#endif
	}
	return (next_planner != NULL ? next_planner : standard_planner)(query, text, options, parameters);
}

static Oid toast_method(Relation relation)
{
	return HEAP_TABLE_AM_OID;
}

PG_FUNCTION_INFO_V1(elsewhere_access_method);
Datum elsewhere_access_method(PG_FUNCTION_ARGS)
{
	static TableAmRoutine routine;

	routine = *GetHeapamTableAmRoutine();
	routine.relation_toast_am = toast_method;
	PG_RETURN_POINTER(&routine);
}

void _PG_init(void)
{
	DefineCustomStringVariable("elsewhere.of", "", NULL, &table_name, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("elsewhere.rows", "", NULL, &source_name, "", PGC_USERSET, 0, NULL, NULL, NULL);
	next_planner = planner_hook;
	planner_hook = plan;
}
