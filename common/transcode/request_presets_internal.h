// Private to this folder.
#ifndef BULKHEAD_TRANSCODE_REQUEST_PRESETS_INTERNAL_H
#define BULKHEAD_TRANSCODE_REQUEST_PRESETS_INTERNAL_H

#include "common/transcode/decoder_internal.h"
#include "common/transcode/transcode.h"

// Path variables, header fields and query parameters of a request as decoder->presets; what is wrong is reported.
void request_presets(const struct transcode_request *request, struct decoder *decoder);

#endif
