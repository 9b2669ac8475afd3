// Reads settings from the environment or from files into the members of a struct, by a table. Strings live in the
// caller's arena; everything else is copied. Nothing here or elsewhere changes the environment, so that getenv may be
// called at any time.
#include "common/config/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/slice.h"
#include "common/base/utf8.h"

enum {
  FILE_MAX_BYTES = 64 * 1024,
  SHOWN_MAX = 64,  // bytes of a wrong value that an error message shows
};

struct unit {
  const char *name;
  int64_t factor;
};

// Units with the largest first, because values are printed in their largest whole unit.
static const struct unit duration_units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit byte_units[] = {{"g", 1 << 30}, {"m", 1 << 20}, {"k", 1 << 10}, {"", 1}};

static const struct unit plain_unit[] = {{"", 1}};

struct units {
  const struct unit *items;
  size_t count;
};

static struct units find_units(enum setting_type type)
{
  if (type == SETTING_DURATION)
    return (struct units){duration_units, ARRAY_LEN(duration_units)};
  if (type == SETTING_BYTES)
    return (struct units){byte_units, ARRAY_LEN(byte_units)};
  return (struct units){plain_unit, ARRAY_LEN(plain_unit)};
}

// ---- numbers with their units ----

static void add_number(struct strbuf *out, enum setting_type type, int64_t value)
{
  struct units units = find_units(type);
  size_t i = 0;
  while (i + 1 < units.count && (value == 0 || value % units.items[i].factor != 0))
    i++;
  strbuf_add_int(out, value / units.items[i].factor);
  strbuf_add_string(out, units.items[i].name);
}

static bool is_digit(char byte)
{
  return byte >= '0' && byte <= '9';
}

static bool parse_number(enum setting_type type, struct slice text, int64_t *out)
{
  size_t digits = text.size;
  while (digits > 0 && !is_digit(text.data[digits - 1]))
    digits--;
  struct slice suffix = slice_skip(text, digits);
  struct units units = find_units(type);
  int64_t value;
  if (!slice_to_int64(slice_make(text.data, digits), INT64_MIN, INT64_MAX, &value))
    return false;
  for (size_t i = 0; i < units.count; i++)
    if (slice_equal_string(suffix, units.items[i].name))
      return !__builtin_mul_overflow(value, units.items[i].factor, out);
  return false;
}

// ---- what a setting accepts, in words; used by the help and by errors ----

static void add_range(struct strbuf *out, const struct setting *setting)
{
  strbuf_add_string(out, setting->max == 0 ? " of at least " : " from ");
  add_number(out, setting->type, setting->min);
  if (setting->max == 0)
    return;
  strbuf_add_string(out, " to ");
  add_number(out, setting->type, setting->max);
}

static void add_accepted(struct strbuf *out, const struct setting *setting)
{
  switch (setting->type) {
  case SETTING_STRING:
    strbuf_add_string(out, "text");
    break;
  case SETTING_INT:
    strbuf_add_string(out, "a whole number");
    add_range(out, setting);
    break;
  case SETTING_BOOL:
    strbuf_add_string(out, "true or false");
    break;
  case SETTING_DURATION:
    strbuf_add_string(out, "a duration with its unit (ms, s, m, h)");
    add_range(out, setting);
    break;
  case SETTING_BYTES:
    strbuf_add_string(out, "a size in bytes (k, m, g for 1024, 1024^2, 1024^3)");
    add_range(out, setting);
    break;
  case SETTING_CHOICE:
    strbuf_printf(out, "one of %s", setting->choices);
    break;
  }
}

// Adds a value for people. Only printable ASCII and valid UTF-8 are shown, because the text goes to a terminal.
static void add_shown(struct strbuf *out, struct slice value)
{
  bool cut = value.size > SHOWN_MAX;
  if (cut)
    value.size = SHOWN_MAX;
  bool valid = utf8_valid(value);
  for (size_t i = 0; i < value.size; i++) {
    unsigned char byte = (unsigned char)value.data[i];
    bool shown = byte >= 0x20 && byte != 0x7f && (valid || byte < 0x80);
    strbuf_add_byte(out, shown ? value.data[i] : '?');
  }
  if (cut)
    strbuf_add_string(out, "...");
}

static enum status reject_value(const struct setting *setting, struct slice value, struct error *error)
{
  struct strbuf text;
  strbuf_init(&text, sizeof error->message);
  if (!setting->secret) {
    strbuf_add_string(&text, "is \"");
    add_shown(&text, value);
    strbuf_add_string(&text, "\", but ");
  }
  strbuf_add_string(&text, "must be ");
  add_accepted(&text, setting);
  enum status status = error_set(error, STATUS_INVALID_ARGUMENT, "%s %s", setting->name, strbuf_cstring(&text));
  strbuf_free(&text);
  return status;
}

// ---- into the target ----

static void *find_member(const struct setting *setting, void *target)
{
  return (char *)target + setting->offset;
}

static bool is_choice(struct slice choices, struct slice value)
{
  while (choices.size > 0) {
    size_t end = slice_find(choices, ',', 0);
    if (slice_equal(slice_make(choices.data, end), value))
      return true;
    choices = slice_skip(choices, end + 1);
  }
  return false;
}

static bool store_number(const struct setting *setting, struct slice value, int64_t *out)
{
  int64_t number;
  if (!parse_number(setting->type, value, &number))
    return false;
  if (number < setting->min || (setting->max != 0 && number > setting->max))
    return false;
  *out = number;
  return true;
}

static bool store_bool(struct slice value, bool *out)
{
  *out = slice_equal_string(value, "true");
  return *out || slice_equal_string(value, "false");
}

static bool store_value(const struct setting *setting, struct slice value, void *target, struct arena *arena)
{
  void *place = find_member(setting, target);
  switch (setting->type) {
  case SETTING_CHOICE:
    if (!is_choice(slice_from_string(setting->choices), value))
      return false;
    break;
  case SETTING_STRING:
    // A zero byte, which a file may hold, would silently end the text.
    if (slice_find(value, '\0', 0) < value.size)
      return false;
    break;
  case SETTING_BOOL:
    return store_bool(value, place);
  case SETTING_INT:
  case SETTING_DURATION:
  case SETTING_BYTES:
    return store_number(setting, value, place);
  }
  *(const char **)place = arena_string(arena, value);
  return true;
}

static void store_nothing(const struct setting *setting, void *target)
{
  void *place = find_member(setting, target);
  switch (setting->type) {
  case SETTING_STRING:
  case SETTING_CHOICE:
    *(const char **)place = NULL;
    break;
  case SETTING_BOOL:
    *(bool *)place = false;
    break;
  case SETTING_INT:
  case SETTING_DURATION:
  case SETTING_BYTES:
    *(int64_t *)place = 0;
    break;
  }
}

// ---- where a value comes from ----

static enum status set_file_error(const char *name, const char *path, const char *reason, struct error *error)
{
  return error_set(error, STATUS_INVALID_ARGUMENT, "%s_FILE names %s, which cannot be used: %s", name, path, reason);
}

static enum status read_descriptor(int fd, struct strbuf *out)
{
  for (;;) {
    char *room = strbuf_reserve(out, 4096);
    if (room == NULL) {
      errno = EFBIG;
      return STATUS_OUT_OF_RANGE;
    }
    ssize_t got = read(fd, room, 4096);
    if (got == 0)
      return STATUS_OK;
    if (got < 0 && errno != EINTR)
      return STATUS_UNAVAILABLE;
    if (got > 0)
      out->size += (size_t)got;
  }
}

static enum status read_file(const char *name, const char *path, struct strbuf *out, struct error *error)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return set_file_error(name, path, strerror(errno), error);
  enum status status = read_descriptor(fd, out);
  if (status != STATUS_OK)
    status = set_file_error(name, path, strerror(errno), error);
  close(fd);
  while (out->size > 0 && (out->data[out->size - 1] == '\n' || out->data[out->size - 1] == '\r'))
    out->size--;
  if (status == STATUS_OK && out->size == 0)
    status = set_file_error(name, path, "it is empty", error);
  return status;
}

static const char *read_environment(const char *name)
{
  const char *value = getenv(name);
  return value == NULL || value[0] == '\0' ? NULL : value;
}

// Returns the path that NAME_FILE holds, or NULL.
static const char *find_path(const char *name)
{
  struct strbuf file_name;
  strbuf_init(&file_name, 0);
  strbuf_printf(&file_name, "%s_FILE", name);
  const char *path = read_environment(strbuf_cstring(&file_name));
  strbuf_free(&file_name);
  return path;
}

enum status settings_read_again(const char *name, struct strbuf *out, struct error *error)
{
  strbuf_init(out, FILE_MAX_BYTES);
  const char *path = find_path(name);
  if (path == NULL)
    return error_set(error, STATUS_NOT_FOUND, "%s_FILE is not set", name);
  return read_file(name, path, out, error);
}

// Finds the value of a setting; `out` stays empty if none was set.
static enum status find_value(const struct setting *setting, struct strbuf *out, struct error *error)
{
  const char *value = read_environment(setting->name);
  const char *path = find_path(setting->name);
  if (value != NULL && path != NULL)
    return error_set(error, STATUS_INVALID_ARGUMENT, "%s and %s_FILE are both set; keep one", setting->name,
                     setting->name);
  if (path != NULL)
    return read_file(setting->name, path, out, error);
  strbuf_add_string(out, value == NULL ? "" : value);
  return STATUS_OK;
}

static enum status report_missing(const struct setting *setting, struct error *error)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  add_accepted(&text, setting);
  enum status status = error_set(error, STATUS_INVALID_ARGUMENT, "%s (or %s_FILE) must be set: %s. %s", setting->name,
                                 setting->name, strbuf_cstring(&text), setting->help);
  strbuf_free(&text);
  return status;
}

static enum status load_one(const struct setting *setting, void *target, struct arena *arena, struct error *error)
{
  struct strbuf text;
  strbuf_init(&text, FILE_MAX_BYTES);
  enum status status = find_value(setting, &text, error);
  struct slice value = strbuf_slice(&text);
  if (status == STATUS_OK && value.size == 0)
    value = slice_from_string(setting->default_value);
  if (status == STATUS_OK) {
    if (value.size > 0 || setting->default_value != NULL)
      status = store_value(setting, value, target, arena) ? STATUS_OK : reject_value(setting, value, error);
    else if (setting->optional)
      store_nothing(setting, target);
    else
      status = report_missing(setting, error);
  }
  strbuf_free(&text);
  return status;
}

enum status settings_load(const struct setting *table, size_t count, void *target, struct arena *arena,
                          struct strbuf *problems)
{
  enum status status = STATUS_OK;
  for (size_t i = 0; i < count; i++) {
    struct error error;
    if (load_one(&table[i], target, arena, &error) == STATUS_OK)
      continue;
    status = STATUS_INVALID_ARGUMENT;
    strbuf_printf(problems, "%s\n", error.message);
  }
  return status;
}

// ---- for people ----

void settings_describe(const struct setting *table, size_t count, struct strbuf *out)
{
  for (size_t i = 0; i < count; i++) {
    const struct setting *setting = &table[i];
    strbuf_printf(out, "%s\n    %s\n    ", setting->name, setting->help);
    add_accepted(out, setting);
    if (setting->default_value != NULL)
      strbuf_printf(out, "; default \"%s\"", setting->default_value);
    else
      strbuf_add_string(out, setting->optional ? "; optional" : "; required");
    strbuf_add_string(out, setting->secret ? "; secret\n" : "\n");
  }
}

static void add_value(struct strbuf *out, const struct setting *setting, const void *place)
{
  switch (setting->type) {
  case SETTING_STRING:
  case SETTING_CHOICE: {
    const char *text = *(const char *const *)place;
    strbuf_add_string(out, text == NULL ? "" : setting->secret ? "***" : text);
    break;
  }
  case SETTING_BOOL:
    strbuf_add_string(out, *(const bool *)place ? "true" : "false");
    break;
  case SETTING_INT:
  case SETTING_DURATION:
  case SETTING_BYTES:
    if (setting->secret)
      strbuf_add_string(out, "***");
    else
      add_number(out, setting->type, *(const int64_t *)place);
    break;
  }
}

void settings_print(const struct setting *table, size_t count, const void *target, struct strbuf *out)
{
  for (size_t i = 0; i < count; i++) {
    strbuf_printf(out, "%s=", table[i].name);
    add_value(out, &table[i], (const char *)target + table[i].offset);
    strbuf_add_byte(out, '\n');
  }
}
