// QR codes (ISO/IEC 18004) as pictures, for secrets that a camera takes from a screen. On libqrencode.
#ifndef BULKHEAD_SECURITY_QR_CODE_H
#define BULKHEAD_SECURITY_QR_CODE_H

#include "common/base/arena.h"

// Returns a QR code that holds a text, as an SVG image: black on white, with the margin of four modules that readers
// need, and without a size of its own. It stays readable where 15 % of it is damaged. NULL for an empty text and for
// one that no QR code holds, which may have 2,331 bytes.
const char *qr_code_svg(const char *text, struct arena *arena);

#endif
