/*
 * A provider for OpenSSL that has everything the default provider has except
 * the algorithms that the environment variable FERNET_TEST_WITHOUT names,
 * separated by commas. So a server can be run on an OpenSSL that lacks what
 * pg_fernet needs, yet has the random generator that the server needs.
 */
#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static OSSL_PROVIDER *whole;

/* is_left_out: "names" is a list with colons, as "AES-128-CBC:AES128:2.16". */
static int
is_left_out(const char *names)
{
	const char *without = getenv("FERNET_TEST_WITHOUT");
	const size_t length = strcspn(names, ":");

	while (without != NULL && *without != '\0')
	{
		const size_t size = strcspn(without, ",");

		if (size == length && strncasecmp(without, names, size) == 0)
			return 1;
		without += size + (without[size] == ',');
	}
	return 0;
}

static const OSSL_ALGORITHM *
query(void *context, int operation, int *no_cache)
{
	/* There are fewer operations; OpenSSL keeps what it is given. */
	static OSSL_ALGORITHM *filtered[64];
	const OSSL_ALGORITHM *all =
		OSSL_PROVIDER_query_operation(whole, operation, no_cache);
	size_t		count = 0;
	size_t		kept = 0;

	(void) context;
	if (all == NULL || operation < 0 || operation >= 64)
		return NULL;
	if (filtered[operation] != NULL)
		return filtered[operation];
	while (all[count].algorithm_names != NULL)
		++count;
	filtered[operation] = calloc(count + 1, sizeof **filtered);
	if (filtered[operation] == NULL)
		return NULL;
	for (size_t i = 0; i < count; ++i)
	{
		if (!is_left_out(all[i].algorithm_names))
			filtered[operation][kept++] = all[i];
	}
	return filtered[operation];
}

int
OSSL_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
				   const OSSL_DISPATCH **out, void **context)
{
	static const OSSL_DISPATCH functions[] = {
		{OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*) (void)) query},
		{0, NULL}
	};

	(void) handle;
	(void) in;
	whole = OSSL_PROVIDER_load(OSSL_LIB_CTX_new(), "default");
	if (whole == NULL)
		return 0;
	*out = functions;
	*context = OSSL_PROVIDER_get0_provider_ctx(whole);
	return 1;
}
