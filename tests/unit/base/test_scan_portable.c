// The same passes as on a machine without SSE2.
#define BULKHEAD_NO_SIMD
#define SCAN_SUITE scan_portable
#include "tests/unit/base/scan_cases.h"
