#include "common/contract/diagnostics.h"

#include <stdlib.h>
#include <string.h>

void diagnostics_init(struct diagnostics *diagnostics)
{
  diagnostics->count = 0;
  diagnostics->more = 0;
  arena_init(&diagnostics->arena);
}

void diagnostics_free(struct diagnostics *diagnostics)
{
  diagnostics->count = 0;
  diagnostics->more = 0;
  arena_free(&diagnostics->arena);
}

static const char *copy_text(struct arena *arena, const char *text)
{
  return arena_string(arena, slice_from_string(text == NULL ? "" : text));
}

void diagnostics_add(struct diagnostics *diagnostics, const struct source_place *place, const char *element,
                     const char *format, ...)
{
  if (diagnostics->count == DIAGNOSTICS_MAX) {
    diagnostics->more++;
    return;
  }
  struct arena *arena = &diagnostics->arena;
  struct diagnostic *diagnostic = &diagnostics->items[diagnostics->count++];
  va_list args;
  va_start(args, format);
  *diagnostic = (struct diagnostic){
      .place = {.file = copy_text(arena, place->file), .line = place->line, .column = place->column},
      .element = copy_text(arena, element),
      .text = arena_vprintf(arena, format, args),
  };
  va_end(args);
}

static int compare_places(const struct source_place *a, const struct source_place *b)
{
  int files = strcmp(a->file, b->file);
  if (files != 0)
    return files;
  if (a->line != b->line)
    return a->line < b->line ? -1 : 1;
  return (a->column > b->column) - (a->column < b->column);
}

// Sorts by insertion, because qsort does not keep the order of equal elements.
void diagnostics_sort(struct diagnostics *diagnostics)
{
  for (size_t i = 1; i < diagnostics->count; i++) {
    struct diagnostic moving = diagnostics->items[i];
    size_t at = i;
    for (; at > 0 && compare_places(&diagnostics->items[at - 1].place, &moving.place) > 0; at--)
      diagnostics->items[at] = diagnostics->items[at - 1];
    diagnostics->items[at] = moving;
  }
}

void diagnostic_write(const struct diagnostic *diagnostic, struct strbuf *out)
{
  const struct source_place *place = &diagnostic->place;
  if (place->file[0] != '\0') {
    strbuf_add_string(out, place->file);
    if (place->line > 0)
      strbuf_printf(out, ":%u:%u", place->line, place->column);
    strbuf_add_string(out, ": ");
  }
  if (diagnostic->element[0] != '\0')
    strbuf_printf(out, "%s: ", diagnostic->element);
  strbuf_add_string(out, diagnostic->text);
}

void diagnostics_write(const struct diagnostics *diagnostics, struct strbuf *out)
{
  for (size_t i = 0; i < diagnostics->count; i++) {
    if (i > 0)
      strbuf_add_byte(out, '\n');
    diagnostic_write(&diagnostics->items[i], out);
  }
  if (diagnostics->more > 0)
    strbuf_printf(out, "\n%zu more mistakes are not listed", diagnostics->more);
}
