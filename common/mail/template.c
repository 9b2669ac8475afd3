#include "common/mail/template.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/strbuf.h"
#include "common/base/utf8.h"

#define SUBJECT_PREFIX "Subject: "

// ---- pieces of a text ----

// A text is a row of pieces: plain text, and values between "{{" and "}}".
struct piece {
  struct slice text;  // the plain text, or the value's name
  bool is_value;
};

static size_t find_pair(struct slice text, char letter, size_t from)
{
  size_t at = slice_find(text, letter, from);
  while (at + 1 < text.size && text.data[at + 1] != letter)
    at = slice_find(text, letter, at + 1);
  return at + 1 < text.size ? at : text.size;
}

// Takes the next piece off the front of the text; false at its end. What has no "}}" is plain text.
static bool next_piece(struct slice *text, struct piece *piece)
{
  if (text->size == 0)
    return false;
  size_t open = find_pair(*text, '{', 0);
  size_t close = open == 0 ? find_pair(*text, '}', 2) : text->size;
  piece->is_value = open == 0 && close < text->size;
  if (piece->is_value) {
    piece->text = slice_trim(slice_make(text->data + 2, close - 2));
    *text = slice_skip(*text, close + 2);
    return true;
  }
  size_t size = open == 0 ? text->size : open;
  piece->text = slice_make(text->data, size);
  *text = slice_skip(*text, size);
  return true;
}

static size_t line_of(struct slice text, const char *place)
{
  size_t line = 1;
  for (const char *at = text.data; at < place; at++)
    line += *at == '\n';
  return line;
}

// ---- loading ----

static bool uses_value(struct slice text, struct slice name)
{
  struct piece piece;
  while (next_piece(&text, &piece))
    if (piece.is_value && slice_equal(piece.text, name))
      return true;
  return false;
}

static enum status check_values(const char *path, struct slice text, const struct mail_template *own,
                                struct error *error)
{
  struct slice rest = text;
  struct piece piece;
  while (next_piece(&rest, &piece))
    if (piece.is_value && !uses_value(own->text, piece.text) && !uses_value(own->html, piece.text))
      return error_set(error, STATUS_INVALID_ARGUMENT,
                       "%s:%zu: there is no value {{%.*s}} for this mail; use those of the template that comes with "
                       "the program",
                       path, line_of(text, piece.text.data), (int)piece.text.size, piece.text.data);
  return STATUS_OK;
}

// Returns the subject's line, without "Subject: ", and the text behind it. False where there is none.
static bool split_subject(struct slice text, struct slice *subject, struct slice *body)
{
  size_t end = slice_find(text, '\n', 0);
  if (!slice_starts_with(text, SLICE(SUBJECT_PREFIX)) || end + 1 >= text.size || text.data[end + 1] != '\n')
    return false;
  *subject = slice_trim(slice_make(text.data + strlen(SUBJECT_PREFIX), end - strlen(SUBJECT_PREFIX)));
  *body = slice_skip(text, end + 2);
  return subject->size > 0;
}

static enum status read_file(const char *path, struct arena *arena, struct slice *text, struct error *error)
{
  struct strbuf content;
  strbuf_init(&content, MAIL_TEMPLATE_MAX_BYTES);
  enum status status = STATUS_OK;
  if (!strbuf_read_file(&content, path))
    status = error_set(error, STATUS_INVALID_ARGUMENT, "%s: %s", path, strerror(errno));
  else if (!utf8_valid(strbuf_slice(&content)))
    status = error_set(error, STATUS_INVALID_ARGUMENT, "%s: the file is no UTF-8", path);
  else
    *text = arena_copy(arena, strbuf_slice(&content));
  strbuf_free(&content);
  return status;
}

static enum status load_other(const struct mail_template *own, const char *text_path, const char *html_path,
                              struct arena *arena, struct mail_template *loaded, struct error *error)
{
  struct slice subject, body;
  enum status status = read_file(text_path, arena, &loaded->text, error);
  if (status == STATUS_OK)
    status = read_file(html_path, arena, &loaded->html, error);
  if (status == STATUS_OK)
    status = check_values(text_path, loaded->text, own, error);
  if (status == STATUS_OK)
    status = check_values(html_path, loaded->html, own, error);
  if (status == STATUS_OK && !split_subject(loaded->text, &subject, &body))
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s:1: begin with a line \"%s...\" and an empty line", text_path,
                     SUBJECT_PREFIX);
  return status;
}

static enum status load(const struct mail_template *own, const char *folder, struct arena *arena,
                        struct mail_template *loaded, struct error *error)
{
  const char *text_path = arena_printf(arena, "%s/%s.txt", folder, own->name);
  const char *html_path = arena_printf(arena, "%s/%s.html", folder, own->name);
  bool has_text = access(text_path, F_OK) == 0, has_html = access(html_path, F_OK) == 0;
  if (!has_text && !has_html)
    return STATUS_OK;
  if (has_text != has_html)
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s is missing beside %s; a mail has both",
                     has_text ? html_path : text_path, has_text ? text_path : html_path);
  return load_other(own, text_path, html_path, arena, loaded, error);
}

enum status mail_templates_load(const struct mail_template_set *set, const char *folder, struct arena *arena,
                                struct mail_template **loaded, struct error *error)
{
  bool has_folder = folder != NULL && folder[0] != '\0';
  if (has_folder && access(folder, R_OK | X_OK) != 0)
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s: %s", folder, strerror(errno));
  *loaded = arena_array(arena, set->count, sizeof(**loaded));
  for (size_t i = 0; i < set->count; i++) {
    (*loaded)[i] = set->templates[i];
    enum status status = has_folder ? load(&set->templates[i], folder, arena, &(*loaded)[i], error) : STATUS_OK;
    if (status != STATUS_OK)
      return status;
  }
  return STATUS_OK;
}

// ---- filling ----

struct values {
  const struct mail_value *values;
  size_t count;
  struct arena *arena;
  struct slice unknown;  // the first value that was wanted and not given; empty where there was none
};

static const char *find_value(struct values *values, struct slice name)
{
  for (size_t i = 0; i < values->count; i++)
    if (slice_equal_string(name, values->values[i].name))
      return values->values[i].value;
  if (values->unknown.size == 0)
    values->unknown = name;
  return "";
}

static void add_plain(struct strbuf *out, const char *value)
{
  for (const char *letter = value; *letter != '\0'; letter++)
    strbuf_add_byte(out, (unsigned char)*letter < ' ' || *letter == 0x7f ? ' ' : *letter);
}

static void add_escaped(struct strbuf *out, const char *value)
{
  for (const char *letter = value; *letter != '\0'; letter++)
    switch (*letter) {
    case '&':
      strbuf_add_string(out, "&amp;");
      break;
    case '<':
      strbuf_add_string(out, "&lt;");
      break;
    case '>':
      strbuf_add_string(out, "&gt;");
      break;
    case '"':
      strbuf_add_string(out, "&quot;");
      break;
    case '\'':
      strbuf_add_string(out, "&#39;");
      break;
    default:
      add_plain(out, (char[]){*letter, '\0'});
    }
}

static struct slice fill(struct values *values, struct slice text, void (*add)(struct strbuf *out, const char *value))
{
  struct strbuf out;
  strbuf_init(&out, 0);
  struct piece piece;
  while (next_piece(&text, &piece)) {
    if (piece.is_value)
      add(&out, find_value(values, piece.text));
    else
      strbuf_add(&out, piece.text);
  }
  struct slice filled = arena_copy(values->arena, strbuf_slice(&out));
  strbuf_free(&out);
  return filled;
}

enum status mail_template_fill(const struct mail_template *template, const struct mail_value *values, size_t count,
                               struct arena *arena, struct mail_texts *texts, struct error *error)
{
  struct slice subject, body;
  struct values given = {.values = values, .count = count, .arena = arena};
  CHECK(split_subject(template->text, &subject, &body));
  texts->subject = arena_string(arena, fill(&given, subject, add_plain));
  texts->text = fill(&given, body, add_plain);
  texts->html = fill(&given, template->html, add_escaped);
  if (given.unknown.size == 0)
    return STATUS_OK;
  return error_set(error, STATUS_FAILED_PRECONDITION,
                   "the template %s wants a value {{%.*s}} that this mail does not have", template->name,
                   (int)given.unknown.size, given.unknown.data);
}
