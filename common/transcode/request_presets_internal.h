// Collects the values outside of a request's body. Private to this folder.
#ifndef BULKHEAD_TRANSCODE_REQUEST_PRESETS_INTERNAL_H
#define BULKHEAD_TRANSCODE_REQUEST_PRESETS_INTERNAL_H

#include "common/transcode/decoder_internal.h"
#include "common/transcode/transcode.h"

// Fills decoder->presets from path variables, headers and query parameters, and reports what is wrong with them.
void request_presets(const struct transcode_request *request, struct decoder *decoder);

#endif
