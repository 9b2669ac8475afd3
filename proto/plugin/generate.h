// The code generator as a plugin of protoc: https://protobuf.dev/reference/other/ ,
// google/protobuf/compiler/plugin.proto
#ifndef BULKHEAD_PLUGIN_GENERATE_H
#define BULKHEAD_PLUGIN_GENERATE_H

#include <stdbool.h>

#include "common/base/compiler.h"
#include "common/base/strbuf.h"

// Answers a CodeGeneratorRequest with a CodeGeneratorResponse: <stem>.bh.h and <stem>.bh.c for each file, or what is
// wrong with the contracts. False when the request cannot be read.
bool generate_response(struct slice request, struct strbuf *response) MUST_CHECK;

#endif
