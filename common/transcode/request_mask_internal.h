// Finds which fields a request updates, before the fields themselves are read. Private to this folder.
#ifndef BULKHEAD_TRANSCODE_REQUEST_MASK_INTERNAL_H
#define BULKHEAD_TRANSCODE_REQUEST_MASK_INTERNAL_H

#include "common/transcode/decoder_internal.h"

// Returns the mask of the message's `updated` field, which must not be NULL. The mask comes from a preset, or from the
// JSON object that is about to be read, of which nothing is consumed. Returns MASK_GIVEN where the decoder gathers the
// mask. A mask that cannot be read counts as MASK_ALL here, because reading it as a field reports it.
struct update_mask request_mask_find(const struct decoder *decoder, const struct message_target *target);

#endif
