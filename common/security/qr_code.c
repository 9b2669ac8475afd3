#include "common/security/qr_code.h"

#include <qrencode.h>
#include <sodium.h>

#include "common/base/strbuf.h"

#define MARGIN 4
#define ANY_VERSION 0

// A module's byte has more bits than its colour.
static bool is_dark(const QRcode *code, int x, int y)
{
  return (code->data[y * code->width + x] & 1) != 0;
}

// Draws a line through each run of dark modules of a row.
static void draw_row(const QRcode *code, int y, struct strbuf *out)
{
  for (int x = 0; x < code->width; x++) {
    int begin = x;
    while (x < code->width && is_dark(code, x, y))
      x++;
    if (x > begin)
      strbuf_printf(out, "M%d %d.5h%d", begin + MARGIN, y + MARGIN, x - begin);
  }
}

static const char *draw(const QRcode *code, struct arena *arena)
{
  int size = code->width + 2 * MARGIN;
  struct strbuf out;
  strbuf_init(&out, 0);
  strbuf_printf(&out,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" shape-rendering=\"crispEdges\">"
                "<path fill=\"#fff\" d=\"M0 0h%dv%dH0z\"/><path stroke=\"#000\" d=\"",
                size, size, size, size);
  for (int y = 0; y < code->width; y++)
    draw_row(code, y, &out);
  strbuf_printf(&out, "\"/></svg>");
  const char *svg = arena_string(arena, strbuf_slice(&out));
  sodium_memzero(out.data, out.size);
  strbuf_free(&out);
  return svg;
}

const char *qr_code_svg(const char *text, struct arena *arena)
{
  QRcode *code = QRcode_encodeString(text, ANY_VERSION, QR_ECLEVEL_M, QR_MODE_8, true);
  if (code == NULL)
    return NULL;
  const char *svg = draw(code, arena);
  sodium_memzero(code->data, (size_t)code->width * (size_t)code->width);
  QRcode_free(code);
  return svg;
}
