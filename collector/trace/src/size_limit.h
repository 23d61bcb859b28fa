// How large a trace with its journal may become (Writer::limit), and how large it is: one budget
// for the journal, which holds one transaction at a time, and what is left for the file.
#pragma once

#include <cstdint>
#include <string>

#include "sqlite.h"

namespace tidemark::trace {

class SizeLimit {
 public:
  // Sets the connection up: the journal is emptied after each transaction.
  SizeLimit(sqlite3* db, const std::string& path, int64_t bytes);

  // Pages of the file that hold something, and what is about to: `buffered` bytes. The others are
  // used before the file grows.
  int64_t used_bytes(int64_t buffered = 0);
  // What the file may use: less while a reader keeps the journal from being emptied.
  int64_t most_bytes() const;
  // The transaction has changed as much as it may.
  bool must_commit() const;
  void committed();
  int64_t journal_bytes() const { return journal_bytes_; }
  // Whether a copy of all that is used has its place in the journal.
  bool holds_twice();
  // File, journal and its index as they are now.
  bool exceeded() const;

 private:
  int64_t size_of(const char* suffix) const;

  sqlite3* db_;
  std::string path_;
  int64_t bytes_;
  int64_t journal_bytes_;
  Statement used_;
};

}  // namespace tidemark::trace
