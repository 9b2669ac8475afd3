// Makes `optional` work with protoc-c 1.4, which refuses proto3's. To protoc-c, a field whose presence is tracked is a
// oneof of one field. Descriptors already have it that way, so only the mark must go.
#ifndef BULKHEAD_PLUGIN_PLAIN_H
#define BULKHEAD_PLUGIN_PLAIN_H

#include <stdbool.h>

#include "common/base/compiler.h"
#include "common/base/strbuf.h"

// Writes the FileDescriptorSet without the marks of proto3 `optional`. False when it cannot be read.
bool plain_descriptor_set(struct slice set, struct strbuf *out) MUST_CHECK;

#endif
