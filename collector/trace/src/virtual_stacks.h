// SQL's view of stacks: the modules tidemark_frame, tidemark_stack, tidemark_stack_node and
// tidemark_stack_address. All answer for one id without walking the others.
#pragma once

#include "sqlite.h"

namespace tidemark::trace {

int register_stack_modules(sqlite3* db);

}  // namespace tidemark::trace
