// CHECK aborts on a bug of this program; it is never used on what a peer or a user sent.
#ifndef BULKHEAD_BASE_CHECK_H
#define BULKHEAD_BASE_CHECK_H

#include "common/base/compiler.h"

// CHECK stays on in release builds: a broken invariant ends the process with a core, not with wrong data.
#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

NO_RETURN void check_failed(const char *condition, const char *file, int line);

#endif
