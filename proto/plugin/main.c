// protoc-gen-bulkhead: the compiler of contracts at build time.
//
//   protoc --plugin=protoc-gen-bulkhead=... --bulkhead_out=FOLDER ...   writes C, as a plugin of protoc
//   protoc-gen-bulkhead check SET [RELEASED]   loads the descriptor set of all contracts as the gateway will, looks
//                                              whether all callers are services of it, and compares it with the
//                                              released one; tells every mistake
//   protoc-gen-bulkhead plain SET              prints the set as protoc-c can read it
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/contract/contract.h"
#include "proto/plugin/breaking.h"
#include "proto/plugin/callers.h"
#include "proto/plugin/generate.h"
#include "proto/plugin/plain.h"

// The largest input. It is far above any set of contracts and bounds what a mistaken pipe can feed the program.
#define MAX_INPUT_BYTES (256u * 1024 * 1024)

static bool read_file(const char *path, struct strbuf *content)
{
  bool done = strbuf_read_file(content, path);
  if (!done)
    fprintf(stderr, "protoc-gen-bulkhead: %s cannot be read: %s\n", path, strerror(errno));
  return done;
}

static bool write_output(const struct strbuf *output)
{
  bool done = fwrite(output->data, 1, output->size, stdout) == output->size && fflush(stdout) == 0;
  if (!done)
    fputs("protoc-gen-bulkhead: standard output cannot be written\n", stderr);
  return done;
}

static bool run_plugin(void)
{
  struct strbuf request;
  struct strbuf response;
  strbuf_init(&request, MAX_INPUT_BYTES);
  strbuf_init(&response, 0);
  bool done = strbuf_read_stream(&request, stdin) && generate_response(strbuf_slice(&request), &response);
  if (!done)
    fputs("protoc-gen-bulkhead: standard input holds no CodeGeneratorRequest; run me through protoc\n", stderr);
  else
    done = write_output(&response);
  strbuf_free(&response);
  strbuf_free(&request);
  return done;
}

static bool run_plain(const char *path)
{
  struct strbuf set;
  struct strbuf plain;
  strbuf_init(&set, MAX_INPUT_BYTES);
  strbuf_init(&plain, 0);
  bool done = read_file(path, &set);
  if (done && !plain_descriptor_set(strbuf_slice(&set), &plain)) {
    fprintf(stderr, "protoc-gen-bulkhead: %s is not a FileDescriptorSet\n", path);
    done = false;
  }
  done = done && write_output(&plain);
  strbuf_free(&plain);
  strbuf_free(&set);
  return done;
}

static void print_diagnostics(const struct diagnostics *diagnostics)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  diagnostics_write(diagnostics, &text);
  fprintf(stderr, "%s\n", strbuf_cstring(&text));
  strbuf_free(&text);
}

// Loads a set and prints its mistakes. Returns false when there are any.
static bool load_file(const char *path, struct contract **contract)
{
  struct strbuf set;
  struct diagnostics diagnostics;
  strbuf_init(&set, MAX_INPUT_BYTES);
  diagnostics_init(&diagnostics);
  *contract = NULL;
  bool done = read_file(path, &set);
  if (done && contract_load(strbuf_slice(&set), contract, &diagnostics) != STATUS_OK) {
    print_diagnostics(&diagnostics);
    done = false;
  }
  diagnostics_free(&diagnostics);
  strbuf_free(&set);
  return done;
}

static bool check_callers(const struct contract *contract)
{
  struct diagnostics diagnostics;
  diagnostics_init(&diagnostics);
  callers_find_unknown(contract, &diagnostics);
  bool is_well = diagnostics.count == 0;
  if (!is_well)
    print_diagnostics(&diagnostics);
  diagnostics_free(&diagnostics);
  return is_well;
}

static bool compare_with_released(const struct contract *contract, const char *released_path)
{
  struct contract *released;
  if (!load_file(released_path, &released)) {
    fprintf(stderr,
            "%s: the released contracts cannot be compared, because this version refuses them; make release-contracts "
            "takes the present ones\n",
            released_path);
    return false;
  }
  struct diagnostics diagnostics;
  diagnostics_init(&diagnostics);
  breaking_find(released, contract, &diagnostics);
  bool is_compatible = diagnostics.count == 0;
  if (!is_compatible) {
    print_diagnostics(&diagnostics);
    fprintf(stderr,
            "%s: these changes break clients of the released contracts; undo them, put them into a new version of the "
            "package (item.v2), or release them knowingly: make release-contracts\n",
            released_path);
  }
  diagnostics_free(&diagnostics);
  contract_free(&released);
  return is_compatible;
}

static bool run_check(const char *path, const char *released_path)
{
  struct contract *contract;
  bool done = load_file(path, &contract) && check_callers(contract);
  if (done && released_path != NULL)
    done = compare_with_released(contract, released_path);
  contract_free(&contract);
  return done;
}

int main(int argc, char **argv)
{
  if (argc == 1)
    return run_plugin() ? 0 : 1;
  if (argc == 3 && strcmp(argv[1], "plain") == 0)
    return run_plain(argv[2]) ? 0 : 1;
  if ((argc == 3 || argc == 4) && strcmp(argv[1], "check") == 0)
    return run_check(argv[2], argc == 4 ? argv[3] : NULL) ? 0 : 1;
  fputs("usage: protoc-gen-bulkhead [check SET [RELEASED] | plain SET]\n", stderr);
  return 2;
}
