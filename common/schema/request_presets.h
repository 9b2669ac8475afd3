// Private to this folder.
#ifndef BULKHEAD_SCHEMA_REQUEST_PRESETS_H
#define BULKHEAD_SCHEMA_REQUEST_PRESETS_H

#include "common/schema/decoder.h"
#include "common/schema/transcode.h"

// Path variables, header fields and query parameters of a request as decoder->presets; what is wrong is reported.
void request_presets(const struct transcode_request *request, struct decoder *decoder);

#endif
