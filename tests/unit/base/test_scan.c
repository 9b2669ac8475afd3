#define SCAN_SUITE scan
#include "tests/unit/base/scan_cases.h"
