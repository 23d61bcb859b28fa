// libtidemark_sqlite.so: `.load lib/tidemark/libtidemark_sqlite` gives stock sqlite3 the tables
// host_allocation and allocation of the trace it has open, and a frame that answers fast for one
// stack.
#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT1

#include "virtual_tables.h"

extern "C" __attribute__((visibility("default"))) int sqlite3_tidemarksqlite_init(
    sqlite3* db, char** error, const sqlite3_api_routines* api) {
  SQLITE_EXTENSION_INIT2(api)
  int status = tidemark::trace::register_modules(db);
  if (status == SQLITE_OK) status = tidemark::trace::create_temp_objects(db);
  if (status != SQLITE_OK && error != nullptr) *error = sqlite3_mprintf("%s", sqlite3_errmsg(db));
  return status;
}

extern "C" __attribute__((visibility("default"))) int sqlite3_extension_init(
    sqlite3* db, char** error, const sqlite3_api_routines* api) {
  return sqlite3_tidemarksqlite_init(db, error, api);
}
