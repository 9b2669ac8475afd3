// Merge patches (RFC 7396) of texts that are JSON objects of a client's own making (FORMAT_JSON_OBJECT). The gateway
// names such a field in the update mask as "attributes.*": the text in the request then holds the members to change.
#ifndef BULKHEAD_SERVICE_RESOURCE_PATCH_INTERNAL_H
#define BULKHEAD_SERVICE_RESOURCE_PATCH_INTERNAL_H

#include "common/service/resource.h"

// A mask without such paths, and the fields that they named.
struct resource_patch {
  const ProtobufCMessage *mask;
  const ProtobufCFieldDescriptor **fields;
  size_t count;
};

// Splits a mask, which may be NULL. `body` is the message that its paths start in.
void resource_patch_read(const ProtobufCMessage *mask, const ProtobufCMessage *body, struct arena *arena,
                         struct resource_patch *patch);
// Makes *body a copy in which the named fields hold what `stored` has, with the members that they change; an object
// that is empty in both stays as it is stored. Fails with a violation where a text then breaks the contract's rules.
enum status resource_patch_apply(struct call *call, const struct resource *resource, const struct resource_patch *patch,
                                 const ProtobufCMessage *stored, const ProtobufCMessage **body) MUST_CHECK;

#endif
