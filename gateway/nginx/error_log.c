// Turns the lines that nginx itself writes about errors into JSON, as all other lines of the gateway are. What nginx
// adds about the request is dropped but for the client's address, because queries and referrers may hold what nobody
// should read.
//
// The module also sees to it that no worker waits for whoever reads an access log that is a pipe.
//
// This is a module of nginx's core, which is there as soon as load_module has been read: also errors in the
// configuration behind that line become JSON.
#include "gateway/nginx/module.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "common/base/strbuf.h"
#include "common/observe/log.h"

static enum log_level convert_level(ngx_uint_t level)
{
  if (level <= NGX_LOG_ERR)
    return LOG_ERROR;
  if (level == NGX_LOG_WARN)
    return LOG_WARN;
  return level == NGX_LOG_DEBUG ? LOG_DEBUG : LOG_INFO;
}

static size_t count_digits(struct slice text)
{
  size_t count = 0;
  while (count < text.size && text.data[count] >= '0' && text.data[count] <= '9')
    count++;
  return count;
}

// Skips "2026/01/02 03:04:05 [error] 12#12: *34 ", because a line of JSON has members for these; a connection's number
// is of no use.
static struct slice skip_prefix(struct slice line)
{
  line = slice_skip(line, slice_find(line, ']', 0) + 2);
  line = slice_skip(line, slice_find(line, ':', 0) + 2);
  size_t digits = line.size > 0 && line.data[0] == '*' ? count_digits(slice_skip(line, 1)) : 0;
  return digits > 0 ? slice_skip(line, digits + 2) : line;
}

// Finds `wanted` in `text`; text.size where it is not there.
static size_t find_text(struct slice text, struct slice wanted)
{
  for (size_t i = 0; i + wanted.size <= text.size; i++)
    if (memcmp(text.data + i, wanted.data, wanted.size) == 0)
      return i;
  return text.size;
}

// Cuts off what the handler of nginx's log has added: " while ACTION, client: …, server: …, request: …".
static struct slice cut_context(struct slice line, struct slice context)
{
  if (context.size > 0 && line.size >= context.size &&
      memcmp(line.data + line.size - context.size, context.data, context.size) == 0)
    return slice_make(line.data, line.size - context.size);
  // nginx has cut a long line somewhere in its context.
  return slice_make(line.data, find_text(line, SLICE(", client: ")));
}

// Returns the address in a context; empty where it has none.
static struct slice find_client(struct slice context)
{
  const struct slice label = SLICE(", client: ");
  struct slice rest = slice_skip(context, find_text(context, label) + label.size);
  return slice_make(rest.data, slice_find(rest, ',', 0));
}

static void write_line(ngx_log_t *log, ngx_uint_t level, u_char *bytes, size_t size)
{
  u_char context_bytes[NGX_MAX_ERROR_STR];
  struct slice context = {0};
  if (log->handler != NULL && level != NGX_LOG_DEBUG)
    context =
        slice_make(context_bytes, (size_t)(log->handler(log, context_bytes, sizeof(context_bytes)) - context_bytes));
  while (size > 0 && bytes[size - 1] == '\n')
    size--;
  struct slice line = skip_prefix(slice_make(bytes, size));
  struct slice action = slice_make(context.data, find_text(context, SLICE(", client: ")));
  struct strbuf message;
  strbuf_init(&message, 0);
  strbuf_add(&message, cut_context(line, context));
  strbuf_add(&message, action);
  struct slice client = find_client(context);
  log_write(convert_level(level), "nginx", strbuf_cstring(&message), &LOG_SLICE("client", client), client.size > 0);
  strbuf_free(&message);
}

// nginx calls this when load_module reads the module, at the start and at each reload. Lines about the configuration go
// to the old cycle's log, lines after that to the new one's.
static void *install_writer(ngx_cycle_t *cycle)
{
  log_init("gateway", LOG_INFO);
  cycle->log->writer = write_line;
  cycle->new_log.writer = write_line;
  // Until it has started, nginx would write each line to standard error once more, in its own form.
  ngx_use_stderr = 0;
  return cycle;
}

// Makes nginx's writes to pipes fail where they would wait. nginx then leaves the line out, and says so once a minute.
// The flag belongs to the open file description, which is nginx's own, because nginx opens /dev/stdout by its name;
// standard error is not, and log_write has its own way. SIGUSR1 would open the pipe again without it: nginx leaves
// files without a name alone, and a pipe has nothing to be opened again for.
static ngx_int_t open_logs_without_waiting(ngx_cycle_t *cycle)
{
  for (ngx_list_part_t *part = &cycle->open_files.part; part != NULL; part = part->next) {
    ngx_open_file_t *files = part->elts;
    for (ngx_uint_t i = 0; i < part->nelts; i++) {
      struct stat kind;
      int fd = files[i].fd;
      bool is_own = fd > STDERR_FILENO && fstat(fd, &kind) == 0 && (S_ISFIFO(kind.st_mode) || S_ISCHR(kind.st_mode));
      if (!is_own)
        continue;
      if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
        return NGX_ERROR;
      files[i].name.len = 0;  // messages print its text up to the zero
    }
  }
  return NGX_OK;
}

static ngx_core_module_t core_module = {
    .name = ngx_string("bulkhead_error_log"),
    .create_conf = install_writer,
};

ngx_module_t ngx_bulkhead_error_log_module = {
    NGX_MODULE_V1,
    .ctx = &core_module,
    .type = NGX_CORE_MODULE,
    .init_module = open_logs_without_waiting,
};
