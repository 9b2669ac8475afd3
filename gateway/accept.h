// Content negotiation by the Accept header (RFC 9110, section 12.5.1).
#ifndef BULKHEAD_GATEWAY_ACCEPT_H
#define BULKHEAD_GATEWAY_ACCEPT_H

#include <stddef.h>

#include "common/base/slice.h"

// Returns the index of the offer that the client likes best: by its weight, then by how exactly a range names it, then
// by the order of the offers. An offer is a media type without parameters: "application/json". A header without data
// accepts all. `count` where it accepts none of them. Parameters of ranges other than q are not looked at; a range that
// is none is skipped.
size_t accept_choose(struct slice accept, const struct slice *offers, size_t count);

#endif
