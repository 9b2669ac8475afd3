// Cross-origin requests of browsers: the CORS protocol of the Fetch standard
// (https://fetch.spec.whatwg.org/#http-cors-protocol). Every reply of the public server carries these headers, problems
// and files too, where the setting names the origin.
//
// Access-Control-Allow-Credentials is never sent: tokens travel in Authorization, which scripts set themselves, and no
// cookie means anything here.
#ifndef BULKHEAD_GATEWAY_CORS_H
#define BULKHEAD_GATEWAY_CORS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/base/strbuf.h"
#include "common/contract/contract.h"

// The setting: origins such as "https://app.example.com,http://localhost:3000", "*" for any, "" for none.
// OK where it can be served; the error names the first part that cannot.
enum status cors_check(struct slice origins, struct error *error) MUST_CHECK;
// Whether scripts of `origin` may read replies. `origins` is a setting that was checked.
bool cors_allows(struct slice origins, struct slice origin);

// Write the names of the request headers that scripts may set, and of the reply headers that they may read: those of
// the gateway and those of the contracts (from_header, to_header).
void cors_write_allowed(const struct contract *contract, struct strbuf *out);
void cors_write_exposed(const struct contract *contract, struct strbuf *out);

struct cors_request {
  struct slice origin;  // the header Origin; empty where the request has none
  bool is_preflight;    // OPTIONS with Access-Control-Request-Method
};

// What a reply is made of. All texts must outlive it.
struct cors_policy {
  struct slice origins;
  struct slice allowed;  // as cors_write_allowed writes it
  struct slice exposed;
  struct slice methods;  // the reply's Allow header: the methods of the path
};

#define CORS_MAX_HEADERS 6
struct cors_header {
  struct slice name;
  struct slice value;
};
// Fills in the headers to add to a reply, and returns their number.
size_t cors_make_headers(const struct cors_policy *policy, const struct cors_request *request,
                         struct cors_header headers[CORS_MAX_HEADERS]);

#endif
