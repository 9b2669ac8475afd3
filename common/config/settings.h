// Settings come from the environment and are declared in tables: name, type, range, default, whether it is a secret,
// help.
// `--help` prints the tables, `check-config` what holds now (secrets as "***"); an unknown value, a number out of range
// or a missing required setting ends the start with a message that names the setting and what it accepts.
//
// NAME_FILE names a file that holds the value, as container secrets have it; both NAME and NAME_FILE is an error. Line
// ends at the end of the file are not part of the value. An empty value is as good as none. Error messages never hold
// the value of a secret.
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

// Reads every setting of the table into `target`. On the first failure says which and why.
enum status settings_load(const struct setting *table, size_t count, void *target, struct arena *arena,
                          struct error *error) MUST_CHECK;
// The table for people: name, type and range, default, help.
void settings_describe(const struct setting *table, size_t count, struct strbuf *out);
// NAME=value lines of what was loaded, secrets masked; durations and sizes in their largest whole unit, so that the
// lines can be read back.
void settings_print(const struct setting *table, size_t count, const void *target, struct strbuf *out);

#endif
