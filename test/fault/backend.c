/*
 * SQL functions for tests of failures: they arm the shim of this process, look
 * into OpenSSL's error queue and set limits of the operating system. FaultTest.pm
 * builds and creates them.
 */
#include "postgres.h"

#include <dlfcn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <sys/resource.h>

#include "fmgr.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

static void *
shim(const char *name)
{
	void	   *function = dlsym(RTLD_DEFAULT, name);

	if (function == NULL)
		elog(ERROR, "the server runs without the shim");
	return function;
}

/* fault_arm(kind text, callers text, nth bigint, and_later boolean) */
PG_FUNCTION_INFO_V1(fault_arm);
Datum
fault_arm(PG_FUNCTION_ARGS)
{
	static char kind[32];
	static char callers[32];
	void		(*arm) (const char *, const char *, long, int) =
		shim("fault_shim_arm");

	text_to_cstring_buffer(PG_GETARG_TEXT_PP(0), kind, sizeof kind);
	text_to_cstring_buffer(PG_GETARG_TEXT_PP(1), callers, sizeof callers);
	arm(kind, callers, PG_GETARG_INT64(2), PG_GETARG_BOOL(3));
	PG_RETURN_VOID();
}

/* fault_disarm() returns bigint: how many calls there were */
PG_FUNCTION_INFO_V1(fault_disarm);
Datum
fault_disarm(PG_FUNCTION_ARGS)
{
	long		(*disarm) (void) = shim("fault_shim_disarm");

	PG_RETURN_INT64(disarm());
}

/* fault_openssl_error() returns text: the oldest error in the queue, or null */
PG_FUNCTION_INFO_V1(fault_openssl_error);
Datum
fault_openssl_error(PG_FUNCTION_ARGS)
{
	unsigned long error = ERR_peek_error();
	char		words[256];

	if (error == 0)
		PG_RETURN_NULL();
	ERR_error_string_n(error, words, sizeof words);
	PG_RETURN_TEXT_P(cstring_to_text(words));
}

/*
 * fault_limit(resource text, bytes bigint): the soft limit of this process;
 * -1 is the hard limit, as far as it can be raised again.
 */
PG_FUNCTION_INFO_V1(fault_limit);
Datum
fault_limit(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int64		bytes = PG_GETARG_INT64(1);
	int			resource = strcmp(name, "memlock") == 0 ? RLIMIT_MEMLOCK : RLIMIT_AS;
	struct rlimit limit;

	if (getrlimit(resource, &limit) != 0)
		elog(ERROR, "getrlimit: %m");
	limit.rlim_cur = bytes < 0 ? limit.rlim_max : (rlim_t) bytes;
	if (setrlimit(resource, &limit) != 0)
		elog(ERROR, "setrlimit: %m");
	PG_RETURN_VOID();
}

/*
 * fault_openssl_properties(properties text): what OpenSSL wants of each
 * algorithm that is fetched from now on.
 */
PG_FUNCTION_INFO_V1(fault_openssl_properties);
Datum
fault_openssl_properties(PG_FUNCTION_ARGS)
{
	char	   *properties = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (EVP_set_default_properties(NULL, properties) != 1)
		elog(ERROR, "EVP_set_default_properties fails");
	PG_RETURN_VOID();
}
