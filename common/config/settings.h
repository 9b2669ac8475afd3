// Settings come from the environment and are declared in tables: name, type, range, default, whether it is a secret,
// help. `help` prints the tables, `check-config` what holds now (secrets as "***"). A start with a wrong value, a
// number out of range or without a required setting ends with one line for each of them, which names the setting and
// what it accepts.
//
// NAME_FILE names a file that holds the value, as container secrets have it; setting both NAME and NAME_FILE is an
// error. Line ends at the end of the file are not part of the value. An empty value counts as not set. Error messages
// never hold the value of a secret.
#ifndef BULKHEAD_CONFIG_SETTINGS_H
#define BULKHEAD_CONFIG_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/status.h"
#include "common/base/strbuf.h"

enum setting_type {
  SETTING_STRING,
  SETTING_INT,       // int64_t between min and max
  SETTING_BOOL,      // true, false
  SETTING_DURATION,  // "250ms", "5s", "2m", "1h" as int64_t ms between min and max
  SETTING_BYTES,     // "512", "64k", "4m", "1g" as int64_t bytes between min and max
  SETTING_CHOICE,    // one of `choices`
};

struct setting {
  const char *name;  // in the environment: "PG_POOL_SIZE"
  enum setting_type type;
  const char *default_value;  // as text; NULL: required, unless optional
  bool optional;              // no default and may stay unset: NULL / 0 / false
  bool secret;
  int64_t min, max;     // numbers; max 0 means no bound
  const char *choices;  // "debug,info,warn,error"
  const char *help;     // one sentence
  size_t offset;        // of the member in the target: const char * or int64_t or bool
};

// Where the values go: SETTING_STRING and SETTING_CHOICE fill a `const char *` (in the arena), the numbers an
// `int64_t`, SETTING_BOOL a `bool`.
#define SETTING_TARGET(type, member) .offset = offsetof(type, member)

// Reads every setting of the table into `target`. Appends a line to `problems` for each that cannot be used and goes
// on; INVALID_ARGUMENT if there was one.
enum status settings_load(const struct setting *table, size_t count, void *target, struct arena *arena,
                          struct strbuf *problems) MUST_CHECK;

// Reads the file of NAME_FILE again, so that a secret can be changed while the process runs. Initialises `out`, which
// the caller erases and frees whatever comes back. NOT_FOUND when NAME_FILE is not set. Blocks: the file is small and
// local.
enum status settings_read_again(const char *name, struct strbuf *out, struct error *error) MUST_CHECK;

struct setting_table {
  const struct setting *settings;
  size_t count;
};

// Finds variables of the environment that look like settings but are none of the tables: names that begin with `prefix`
// ("ITEM_"), and names that differ from a setting's by a letter or two. Appends a line for each, with the setting that
// may be meant. Such a variable has no effect.
void settings_find_unknown(const char *prefix, const struct setting_table *tables, size_t table_count,
                           struct strbuf *out);

// Appends the table for people: name, type and range, default, help.
void settings_describe(const struct setting *table, size_t count, struct strbuf *out);
// Appends NAME=value lines of what was loaded, secrets masked; durations and sizes in their largest whole unit, so that
// the lines can be read back.
void settings_print(const struct setting *table, size_t count, const void *target, struct strbuf *out);

#endif
