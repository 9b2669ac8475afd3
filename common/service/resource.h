// Implements the methods that every resource in PostgreSQL has (AIP-131 to 135): get, list, update by field mask with
// etags, delete. A service declares the resource once, with its queries, and calls these from its handlers. Messages
// have the fields id, etag and, where it matters, owner_id.
#ifndef BULKHEAD_SERVICE_RESOURCE_H
#define BULKHEAD_SERVICE_RESOURCE_H

#include <stdbool.h>

#include "common/service/call.h"
#include "common/service/query_list.h"
#include "common/storage/cache.h"

// A resource: its names, its requests, its queries and its rules. It must outlive every call. The service declares it
// in service_definition.resources and does not start where the parts do not fit each other.
struct resource {
  const char *name;       // "item": the field of an update request that holds the resource
  const char *article;    // "an item"
  const char *title;      // "item": its name in messages for people
  const char *not_found;  // reason of the error, "ITEM_NOT_FOUND"
  const char *invalid;    // reason of the error, "INVALID_ITEM"
  // The requests that resource_get, resource_update and resource_delete answer; NULL for a method that it does not
  // have.
  const ProtobufCMessageDescriptor *get_request;
  const ProtobufCMessageDescriptor *update_request;
  const ProtobufCMessageDescriptor *delete_request;
  // Reads a row by its id, :gathered.
  const struct query *get;
  // Reads and locks a row (:one, FOR UPDATE). Its only parameter is the id.
  const struct query *lock;
  // Writes a row and reads it back (:one, or :gathered). Its parameters are fields of one message, or of an array of
  // them where it is gathered: the id, the etag, and those that an update mask may change.
  const struct query *update;
  // The same for some of these fields: taken where an update mask names no others. It pays where columns that
  // PostgreSQL computes (GENERATED ... STORED) hang on the rest, because those are computed again whenever a statement
  // sets what they hang on. NULL where there is none.
  const struct query *update_part;
  // Deletes a row (:affected). Its parameters are the id and the etag, which is NULL for any state, and with
  // `describe_remover` what that returns.
  const struct query *remove;
  // Describes who deletes a row, in bytes, for a `remove` that passes it on. NULL where it has no such parameter.
  struct slice (*describe_remover)(struct call *call);
  // Without `owned` and `is_private` the contract or the handlers decide who may see and change a resource. Both judge
  // the row's owner_id by the ownership rule of the method, which must have one (owner_stored).
  bool owned;       // for changing and deleting it; who may not gets PERMISSION_DENIED
  bool is_private;  // for seeing it, too; who may not gets NOT_FOUND
  // Checks a whole message before it is stored, and reports what is wrong by call_violation and call_fail. May be NULL.
  enum status (*check)(struct call *call, const ProtobufCMessage *message);
  // Tells the caller of an update that PostgreSQL refused although it keeps the contract. May be NULL.
  enum status (*refuse)(struct call *call, enum status status);
  // Returns the cache that holds the rows as packed messages, and the key of one, which is made in the call's arena;
  // NULL where rows are not cached. Reads go through the cache; it is told of each change before it is made, and keeps
  // what an update has stored. The updates must read the columns of `get`. May be NULL.
  struct cache *(*cache)(struct call *call, const char *id, struct slice *key);
};

// Returns what the call's effect runs on: the database of its service, or for a call with an Idempotency-Key the
// transaction in which its reply is kept. That begins here the first time, so what takes long and need not be in it,
// such as calls of other services, comes before. Once a statement of the transaction has failed, nothing of it is kept:
// the handler may still read, to tell why, and must fail. resource_update and resource_delete never use it: a repeat of
// them changes nothing more, so their methods say idempotency_level = IDEMPOTENT and take no key.
struct query_db resource_db(struct call *call);
// Returns the caller's id, terminated, in the call's arena; empty for an anonymous caller.
const char *resource_caller(struct call *call);

// The functions below reply with packed bytes (call_reply_bytes); the handler leaves its response alone. INTERNAL for a
// resource or a request that the service does not declare.

// Answers a Get. `request` has the field id. NOT_FOUND where there is no such row that the caller may see.
enum status resource_get(struct call *call, const struct resource *resource,
                         const ProtobufCMessage *request) MUST_CHECK;
// Answers an Update. `request` has the fields `name`, update_mask and if_match, and perhaps if_none_match. The row is
// read, checked, merged and written where its etag is still the same. Where it has changed meanwhile and the caller
// named no etag, the update is repeated with the row locked. ABORTED where the caller named another etag than the row
// has, or excluded the one that it has. A path such as "attributes.*" merges a JSON object (RFC 7396). An update that
// changes no field answers with the row as it is, which keeps its etag.
enum status resource_update(struct call *call, const struct resource *resource,
                            const ProtobufCMessage *request) MUST_CHECK;
// Answers a Delete. `request` has the fields id and if_match, and perhaps if_none_match.
enum status resource_delete(struct call *call, const struct resource *resource,
                            const ProtobufCMessage *request) MUST_CHECK;
// Answers a List with a page. `params` is the list's struct of parameters; NULL where it has none.
enum status resource_list(struct call *call, const struct query_list *list, const void *params,
                          const ProtobufCMessage *request) MUST_CHECK;
// Like resource_list, but unpacks the page into `response`, so that a handler can add fields.
enum status resource_list_into(struct call *call, const struct query_list *list, const void *params,
                               const ProtobufCMessage *request, ProtobufCMessage *response) MUST_CHECK;

// Fails with NOT_FOUND and the message that there is no such resource; returns the status to return.
enum status resource_fail_not_found(struct call *call, const struct resource *resource, const char *id);

// ---- preconditions and masks, for handlers that change rows in another way ----

// Checks preconditions (RFC 9110 section 13.1.1, AIP-154): an If-Match of "" or "*" and a body etag of "" allow any
// state. An If-Match is one etag without quotes, or a list as HTTP writes it, which allows each of its strong tags.
bool resource_etag_fits(const char *etag, const char *if_match, const char *body_etag);
// Checks an If-None-Match (RFC 9110 section 13.1.2), as HTTP writes it: false for "*" and for a list that has the etag,
// strong or weak. "" allows any state.
bool resource_etag_allowed(const char *etag, const char *if_none_match);
// Fails the call with ABORTED where If-Match or If-None-Match does not allow a change of the resource in the state that
// `etag` names.
enum status resource_check_state(struct call *call, const struct resource *resource, const char *etag,
                                 const char *if_match, const char *if_none_match) MUST_CHECK;
// True where the caller has named the state that it wants to change, in If-Match or in the body.
bool resource_is_conditional(const char *if_match, const char *body_etag);
// What a merge needs beside the messages: the query that writes the result, and memory for messages inside it.
struct resource_merging {
  const struct query *update;
  struct arena *arena;
};
// Copies the fields that the mask (a google.protobuf.FieldMask) names and `update` writes (AIP-134): all of them for an
// absent mask or "*", none for an empty one. A path may lead to a field inside a message, "owner.name", and the others
// of that message stay; lists, maps and Google's messages are replaced as a whole. A field of a oneof that is set takes
// the place of the one that was. A field that the update does not write may be named and stays. Tells whether a field
// differed. Returns the path that is no field of the message, or NULL.
const char *resource_merge(ProtobufCMessage *to, const ProtobufCMessage *from, const ProtobufCMessage *mask,
                           const struct resource_merging *merging, bool *differs);

#endif
