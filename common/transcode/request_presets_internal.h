// Private to this folder: what a request says outside its body.
#ifndef BULKHEAD_TRANSCODE_REQUEST_PRESETS_INTERNAL_H
#define BULKHEAD_TRANSCODE_REQUEST_PRESETS_INTERNAL_H

#include "common/transcode/decoder_internal.h"
#include "common/transcode/transcode.h"

// Fills decoder->presets from path variables, headers and query parameters. What is wrong with them is reported.
void request_presets(const struct transcode_request *request, struct decoder *decoder);

#endif
