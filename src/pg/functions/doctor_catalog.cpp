#include "pg/functions/doctor_catalog.hpp"

#include <cstring>

extern "C" {
#include "catalog/pg_namespace.h"
}

namespace fernet::pg::doctor {
namespace {

constexpr int kMostNamed = 20;

}  // namespace

bool MayRead(const CatalogQuery &query) {
  for (const char *const name : query.catalogs) {
    if (name == nullptr) {
      break;
    }
    const Oid relation = get_relname_relid(name, PG_CATALOG_NAMESPACE);
    if (pg_class_aclcheck(relation, GetUserId(), ACL_SELECT) != ACLCHECK_OK) {
      return false;
    }
  }
  return true;
}

const char *Row::Text(int column) const {
  return SPI_getvalue(tuple, columns, column);
}

bool Row::IsTrue(int column) const {
  bool is_null = false;
  const Datum value = Value(column, &is_null);
  return !is_null && DatumGetBool(value);
}

Datum Row::Value(int column, bool *is_null) const {
  return SPI_getbinval(tuple, columns, column, is_null);
}

Oid Row::Type(int column) const { return SPI_gettypeid(columns, column); }

bool ForEachRow(const CatalogQuery &query, Datum oids, Visitor visitor,
                void *state) {
  if (!MayRead(query)) {
    return false;
  }
  Oid types[] = {OIDARRAYOID};
  Datum values[] = {oids};
  const int result =
      SPI_execute_with_args(query.text, 1, types, values, " ", true, 0);
  if (result != SPI_OK_SELECT) {
    return false;
  }
  SPITupleTable *const rows = SPI_tuptable;
  const uint64 count = SPI_processed;
  const MemoryContext for_row = AllocSetContextCreate(
      CurrentMemoryContext, "pg_fernet doctor", ALLOCSET_DEFAULT_SIZES);
  for (uint64 i = 0; i < count; ++i) {
    CHECK_FOR_INTERRUPTS();
    const MemoryContext before = MemoryContextSwitchTo(for_row);
    visitor({rows->vals[i], rows->tupdesc}, state);
    MemoryContextSwitchTo(before);
    MemoryContextReset(for_row);
  }
  MemoryContextDelete(for_row);
  SPI_freetuptable(rows);
  return true;
}

const char *AskOne(const CatalogQuery &query) {
  struct Answer {
    MemoryContext memory;
    const char *text;
  } answer = {CurrentMemoryContext, nullptr};
  static_cast<void>(ForEachRow(
      query, PointerGetDatum(construct_empty_array(OIDOID)),
      [](const Row &row, void *state) {
        auto *const first = static_cast<Answer *>(state);
        const char *const text = row.Text(1);
        if (first->text == nullptr && text != nullptr) {
          first->text = MemoryContextStrdup(first->memory, text);
        }
      },
      &answer));
  return answer.text;
}

Places::Places() : memory_(CurrentMemoryContext) { initStringInfo(&names_); }

void Places::Add(const char *name) {
  if (strcmp(name, last_) == 0) {
    return;
  }
  const MemoryContext before = MemoryContextSwitchTo(memory_);
  last_ = pstrdup(name);
  ++count_;
  if (count_ <= kMostNamed) {
    appendStringInfo(&names_, "%s%s", count_ == 1 ? "" : ", ", name);
  }
  MemoryContextSwitchTo(before);
}

const char *Places::Words() const {
  if (count_ > kMostNamed) {
    return psprintf("%s and %d more", names_.data, count_ - kMostNamed);
  }
  return names_.data;
}

}  // namespace fernet::pg::doctor
