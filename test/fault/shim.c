/*
 * A library for LD_PRELOAD that makes chosen calls of a server process fail:
 * the N-th call of a kind, or that and all later ones, while it is armed. What
 * is armed is one kind of call by one kind of caller, so that a failure can be
 * put into pg_fernet and libcrypto alone, or into the server's palloc alone.
 * Unarmed, and for all other callers, every call goes through.
 *
 * backend.c has the SQL functions that arm it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <openssl/err.h>
#include <openssl/randerr.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#define EXPORT __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0)

/* What glibc's functions are called underneath: no dlsym, which allocates. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static const char *armed_kind = NULL;
static const char *armed_callers;
static long first_failing;
static int all_from_there;
static long calls_seen;

/* is_armed_caller says whether the code at "address" is of the armed kind. */
static int is_armed_caller(const void *address)
{
	Dl_info info;
	struct link_map *object = NULL;

	if (dladdr1(address, &info, (void **) &object, RTLD_DL_LINKMAP) == 0)
		return 0;
	/* The program itself is the object without a name. */
	if (strcmp(armed_callers, "server") == 0)
		return object->l_name[0] == '\0';
	return strstr(object->l_name, "/libcrypto.so") != NULL ||
		strstr(object->l_name, "/pg_fernet.so") != NULL;
}

static int must_fail(const char *kind, const void *caller)
{
	if (armed_kind == NULL || strcmp(armed_kind, kind) != 0 ||
		!is_armed_caller(caller))
		return 0;
	++calls_seen;
	return calls_seen == first_failing ||
		(all_from_there && calls_seen > first_failing);
}

/* The caller keeps the strings for as long as the shim is armed. */
EXPORT void fault_shim_arm(const char *kind, const char *callers, long nth,
						   int and_later)
{
	armed_callers = callers;
	first_failing = nth;
	all_from_there = and_later;
	calls_seen = 0;
	armed_kind = kind;
}

/* How many calls of the armed kind there were, those that failed included. */
EXPORT long fault_shim_disarm(void)
{
	armed_kind = NULL;
	return calls_seen;
}

/* Memory */

EXPORT void *malloc(size_t size)
{
	if (must_fail("malloc", CALLER))
	{
		errno = ENOMEM;
		return NULL;
	}
	return __libc_malloc(size);
}

EXPORT void *calloc(size_t count, size_t size)
{
	if (must_fail("malloc", CALLER))
	{
		errno = ENOMEM;
		return NULL;
	}
	return __libc_calloc(count, size);
}

EXPORT void *realloc(void *old, size_t size)
{
	if (must_fail("malloc", CALLER))
	{
		errno = ENOMEM;
		return NULL;
	}
	return __libc_realloc(old, size);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
	if (must_fail("malloc", CALLER))
	{
		errno = ENOMEM;
		return NULL;
	}
	return __libc_memalign(alignment, size);
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
	if (must_fail("malloc", CALLER))
		return ENOMEM;
	*out = __libc_memalign(alignment, size);
	return *out == NULL ? ENOMEM : 0;
}

/* The pages that hold the keys */

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

EXPORT void *mmap(void *address, size_t size, int protection, int flags,
				  int file, off_t offset)
{
	void	   *(*real) (void *, size_t, int, int, int, off_t) = next("mmap");

	if (must_fail("mmap", CALLER))
	{
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return real(address, size, protection, flags, file, offset);
}

EXPORT int mlock(const void *address, size_t size)
{
	int			(*real) (const void *, size_t) = next("mlock");

	if (must_fail("mlock", CALLER))
	{
		errno = ENOMEM;
		return -1;
	}
	return real(address, size);
}

EXPORT int mlock2(const void *address, size_t size, unsigned flags)
{
	int			(*real) (const void *, size_t, unsigned) = next("mlock2");

	if (must_fail("mlock", CALLER))
	{
		errno = ENOMEM;
		return -1;
	}
	return real(address, size, flags);
}

EXPORT int madvise(void *address, size_t size, int advice)
{
	int			(*real) (void *, size_t, int) = next("madvise");

	if (must_fail("madvise", CALLER))
	{
		errno = EINVAL;
		return -1;
	}
	return real(address, size, advice);
}

/* Random bytes, with an error in the queue as when OpenSSL has no entropy */

static int random_bytes(const char *name, const void *caller, unsigned char *out, int size)
{
	int			(*real) (unsigned char *, int) = next(name);
	void		(*begin_error) (void) = next("ERR_new");
	void		(*set_error) (int, int, const char *,...) = next("ERR_set_error");

	if (must_fail("random", caller))
	{
		begin_error();
		set_error(ERR_LIB_RAND, RAND_R_NOT_INSTANTIATED, NULL);
		return 0;
	}
	return real(out, size);
}

EXPORT int RAND_bytes(unsigned char *out, int size)
{
	return random_bytes("RAND_bytes", CALLER, out, size);
}

EXPORT int RAND_priv_bytes(unsigned char *out, int size)
{
	return random_bytes("RAND_priv_bytes", CALLER, out, size);
}
