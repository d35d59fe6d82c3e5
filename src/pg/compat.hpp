// One shim for each difference between the supported servers. Each gives the
// old server the new one's name and signature; nothing else in src/pg asks for
// PG_VERSION_NUM. Included by boundary.hpp only.
#pragma once

#if PG_VERSION_NUM < 150000
#error "pg_fernet needs PostgreSQL 15 or newer"
#endif

// PostgreSQL 16 made guc.c allocate with guc_malloc(); before that, hooks used
// malloc(). Commit 3057465ac, "Replace the sorted array of GUC variables".
#if PG_VERSION_NUM < 160000
inline void *guc_malloc(int, size_t size) { return malloc(size); }
inline void guc_free(void *memory) { free(memory); }
#endif

// PostgreSQL 16 looks settings up in a hash table and lets extensions do so
// with find_option(); before that, the sorted array itself is what is offered.
#if PG_VERSION_NUM < 160000
inline config_generic *find_option(const char *name, bool, bool, int) {
  config_generic **const settings = get_guc_variables();
  for (int i = 0; i < GetNumConfigOptions(); ++i) {
    if (pg_strcasecmp(settings[i]->name, name) == 0) {
      return settings[i];
    }
  }
  return nullptr;
}
#endif

namespace fernet::pg {

// PostgreSQL 19 moved reset_extra from the type-specific part of a setting to
// the common one.
inline void *ResetExtra(const config_generic *setting) {
#if PG_VERSION_NUM >= 190000
  return setting->reset_extra;
#else
  return reinterpret_cast<const config_string *>(setting)->reset_extra;
#endif
}

// PostgreSQL 17 gave intervals the values infinity and -infinity.
inline bool IntervalIsInfinity(const Interval *interval) {
#if PG_VERSION_NUM >= 170000
  return INTERVAL_IS_NOEND(interval);
#else
  static_cast<void>(interval);
  return false;
#endif
}

inline bool IntervalIsMinusInfinity(const Interval *interval) {
#if PG_VERSION_NUM >= 170000
  return INTERVAL_IS_NOBEGIN(interval);
#else
  static_cast<void>(interval);
  return false;
#endif
}

}  // namespace fernet::pg

// PostgreSQL 18 lets a module say its name and version.
#ifdef PG_MODULE_MAGIC_EXT
#define FERNET_MODULE_MAGIC(module_version) \
  PG_MODULE_MAGIC_EXT(.name = "pg_fernet", .version = module_version)
#else
#define FERNET_MODULE_MAGIC(module_version) PG_MODULE_MAGIC
#endif
