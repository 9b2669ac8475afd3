// What a contract must not say: every finding fails the build with a line that names the file and the element.
#ifndef BULKHEAD_PLUGIN_REVIEW_H
#define BULKHEAD_PLUGIN_REVIEW_H

#include "common/base/strbuf.h"
#include "proto/plugin/contract.h"

// Adds a line to `findings` for everything wrong in `file`: "item/v1/item.proto: item.v1.ItemService.GetItem: has no
// access policy; ..."
void review_file(const struct plugin_contract *contract, const FileProto *file, struct strbuf *findings);

#endif
