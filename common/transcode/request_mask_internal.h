// Private to this folder: which fields a request updates, known before the fields themselves are read.
#ifndef BULKHEAD_TRANSCODE_REQUEST_MASK_INTERNAL_H
#define BULKHEAD_TRANSCODE_REQUEST_MASK_INTERNAL_H

#include "common/transcode/decoder_internal.h"

// Returns the mask of the message's `updated` field, which must not be NULL. It comes from a preset, or from the JSON
// object that is about to be read, of which nothing is consumed; MASK_GIVEN where the decoder gathers it. A mask that
// cannot be read counts as MASK_ALL here, because reading it as a field reports it.
struct update_mask request_mask_find(const struct decoder *decoder, const struct message_target *target);

#endif
