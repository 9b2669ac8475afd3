// Runs a command of the build for a test and keeps what it says.
#ifndef BULKHEAD_TESTS_PLUGIN_COMMAND_H
#define BULKHEAD_TESTS_PLUGIN_COMMAND_H

#include "common/base/compiler.h"
#include "common/base/strbuf.h"

// Runs a shell command at the root of the repository, standard error joined to standard output. Returns the exit code,
// -1 when the command did not end by itself. `output` is cleared first.
int command_run(struct strbuf *output, const char *format, ...) PRINTF_LIKE(2, 3);
// Returns the folder of built programs: the environment's BULKHEAD_BIN.
const char *command_bin(void);
// Creates an empty folder; command_remove_folder deletes it with all that is in it.
void command_make_folder(char path[64]);
void command_remove_folder(const char *path);
void command_write_file(const char *folder, const char *name, const char *text, size_t size);
void command_write_text(const char *folder, const char *name, const char *text);
// Expects that a script refuses a folder, its last argument, with a message that holds `message`. Removes the folder.
void command_expect_refused(const char *script, const char *folder, const char *message);

#endif
