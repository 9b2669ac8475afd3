// The methods that every resource in PostgreSQL has (AIP-131 to 135): get, list, update by field mask with etags,
// delete. A service declares the resource once, with its queries, and calls these from its handlers. Messages have the
// fields id, etag and, where it matters, owner_id.
#ifndef BULKHEAD_SERVICE_RESOURCE_H
#define BULKHEAD_SERVICE_RESOURCE_H

#include <stdbool.h>

#include "common/service/call.h"
#include "common/service/query_list.h"

struct resource {
  const char *name;            // "item", as the field of an update request is called
  const char *article;         // "an item"
  const char *title;           // what people call it in messages: "item"
  const char *not_found;       // reason: "ITEM_NOT_FOUND"
  const char *invalid;         // reason: "INVALID_ITEM"
  const struct query *get;     // :gathered, by id
  const struct query *lock;    // :one, FOR UPDATE; its one parameter is the id
  const struct query *update;  // :one; its parameters are fields of one message, which also say what a mask may change
  const struct query *remove;  // :affected; its parameters are the id and the etag, where NULL is any
  // Who may see or change one. With neither, the handlers decide before they call.
  bool owned;       // only the owner (owner_id) or an admin may change or delete it; others are told so
  bool is_private;  // for everybody else it does not exist
  // The rest may be NULL.
  // Judges a whole message as it would be stored; says what is wrong by call_violation and call_fail.
  enum status (*check)(struct call *call, const ProtobufCMessage *message);
  // Tells the caller about a write that PostgreSQL refused although it keeps the contract.
  enum status (*refuse)(struct call *call, enum status status);
  // Hears of each write that may have changed the row. May wait.
  void (*written)(struct call *call, const char *id);
};

// The service's database.
struct query_db resource_db(struct call *call);
// The caller's id, terminated.
const char *resource_caller(struct call *call);

// GET. `request` has the field id.
enum status resource_get(struct call *call, const struct resource *resource, const ProtobufCMessage *request,
                         ProtobufCMessage *response) MUST_CHECK;
// PATCH. `request` has the fields `name`, update_mask and if_match. The row is read, checked, merged and written where
// its etag is still the same. Where that met another's change and the caller named no etag, it is made once more with
// the row locked.
enum status resource_update(struct call *call, const struct resource *resource, const ProtobufCMessage *request,
                            ProtobufCMessage *response) MUST_CHECK;
// DELETE. `request` has the fields id and if_match.
enum status resource_delete(struct call *call, const struct resource *resource,
                            const ProtobufCMessage *request) MUST_CHECK;
// A page of a list. `params` is the list's struct of parameters, NULL where it has none.
enum status resource_list(struct call *call, const struct query_list *list, const void *params,
                          const ProtobufCMessage *request, ProtobufCMessage *response) MUST_CHECK;

// `return resource_fail_not_found(call, &item, id);`
enum status resource_fail_not_found(struct call *call, const struct resource *resource, const char *id);

// ---- preconditions and masks, for handlers that change rows in another way ----

// Preconditions (RFC 9110 section 13.1.1, AIP-154): an If-Match of "" or "*" and a body etag of "" allow any state.
bool resource_etag_fits(const char *etag, const char *if_match, const char *body_etag);
// The caller has named the state that it wants to change.
bool resource_is_conditional(const char *if_match, const char *body_etag);
// Copies the fields that the mask (a google.protobuf.FieldMask) names and `update` writes (AIP-134): all of them for an
// absent mask or "*", none for an empty one. A field that the update does not write may be named and stays. Returns the
// path that is no field of the message, or NULL.
const char *resource_merge(ProtobufCMessage *to, const ProtobufCMessage *from, const ProtobufCMessage *mask,
                           const struct query *update);

#endif
