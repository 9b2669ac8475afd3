// The file is replaced by a rename, so that a reader sees the text before or the one after. Several processes of one
// program may share it: they find the same services, and the last one to write wins.
#include "common/discovery/saved_lists_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/memory.h"
#include "common/observe/log.h"

#define FIRST_LINE "bulkhead endpoints 1"
#define MAX_SERVICES 64

// ---- the text ----

static struct static_service *find_service(struct static_service *services, struct slice name)
{
  for (; services != NULL; services = services->next)
    if (slice_equal_string(name, services->name))
      return services;
  return NULL;
}

static struct static_service *add_service(struct static_service **services, struct slice name)
{
  struct static_service *service = calloc(1, sizeof(*service));
  CHECK(service != NULL);
  service->name = memory_copy_text(name);
  service->next = *services;
  *services = service;
  return service;
}

// Cuts the text before the next `mark` off the front of `rest`. False when there is no mark.
static bool cut_before(struct slice *rest, char mark, struct slice *out)
{
  size_t end = slice_find(*rest, mark, 0);
  if (end == rest->size)
    return false;
  *out = slice_make(rest->data, end);
  *rest = slice_skip(*rest, end + 1);
  return true;
}

static bool is_service_name(struct slice name)
{
  if (name.size == 0 || name.size > SAVED_LISTS_NAME_BYTES)
    return false;
  for (size_t i = 0; i < name.size; i++)
    if (name.data[i] <= ' ' || name.data[i] > '~')
      return false;
  return true;
}

// Parses the URL and, behind it, the zone of an endpoint, which may be missing.
static bool parse_place(struct slice rest, struct slice id, struct endpoint_list *list)
{
  struct slice url = rest;
  bool has_zone = cut_before(&rest, ' ', &url);
  if (!endpoint_list_add_in_zone(list, id, url, has_zone ? rest : SLICE("")))
    return false;
  return !has_zone || list->endpoints[list->count - 1].zone[0] != '\0';
}

static bool parse_line(struct slice line, struct static_service **services, size_t *service_count)
{
  struct slice name;
  struct slice id;
  if (!cut_before(&line, ' ', &name) || !cut_before(&line, ' ', &id) || !is_service_name(name))
    return false;
  struct static_service *service = find_service(*services, name);
  if (service == NULL) {
    if (++*service_count > MAX_SERVICES)
      return false;
    service = add_service(services, name);
  }
  return parse_place(line, id, &service->list);
}

bool saved_lists_parse(struct slice text, struct static_service **out)
{
  struct static_service *services = NULL;
  struct slice line;
  size_t service_count = 0;
  bool valid =
      text.size <= SAVED_LISTS_MAX_BYTES && cut_before(&text, '\n', &line) && slice_equal_string(line, FIRST_LINE);
  while (valid && text.size != 0)
    valid = cut_before(&text, '\n', &line) && parse_line(line, &services, &service_count);
  if (!valid) {
    static_list_free(&services);
    return false;
  }
  for (struct static_service *service = services; service != NULL; service = service->next)
    endpoint_list_sort(&service->list);
  *out = services;
  return true;
}

void saved_lists_format(const struct static_service *services, struct strbuf *out)
{
  strbuf_add_string(out, FIRST_LINE "\n");
  for (; services != NULL; services = services->next)
    for (size_t i = 0; i < services->list.count; i++) {
      const struct discovery_endpoint *endpoint = &services->list.endpoints[i];
      strbuf_printf(out, "%s %s %s%s%s\n", services->name, endpoint->id, endpoint->url,
                    endpoint->zone[0] == '\0' ? "" : " ", endpoint->zone);
    }
}

// ---- reading ----

// Opens a file that is nothing but a file: not a link, and no pipe that would hold the process up.
static FILE *open_plain_file(const char *path)
{
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat what;
  if (fd < 0)
    return NULL;
  bool is_plain = fstat(fd, &what) == 0 && S_ISREG(what.st_mode);
  FILE *file = is_plain ? fdopen(fd, "r") : NULL;
  if (file != NULL)
    return file;
  close(fd);
  errno = EINVAL;
  return NULL;
}

static void read_file(struct saved_lists *saved)
{
  FILE *file = open_plain_file(saved->path);
  if (file == NULL && errno == ENOENT)
    return;
  bool is_read = file != NULL && strbuf_read_stream(&saved->written, file);
  if (file != NULL)
    fclose(file);
  if (is_read && saved_lists_parse(strbuf_slice(&saved->written), &saved->services))
    return;
  strbuf_clear(&saved->written);
  log_warn("discovery",
           "the file with the last known endpoints cannot be read or holds something else; it is ignored, and replaced "
           "once Consul or DNS answers",
           LOG_STRING("path", saved->path));
}

void saved_lists_open(struct saved_lists *saved, const char *path)
{
  *saved = (struct saved_lists){.path = memory_copy_string(path)};
  strbuf_init(&saved->written, SAVED_LISTS_MAX_BYTES);
  if (path != NULL)
    read_file(saved);
}

void saved_lists_copy(struct saved_lists *out, const struct saved_lists *from)
{
  *out = (struct saved_lists){.path = memory_copy_string(from->path)};
  strbuf_init(&out->written, SAVED_LISTS_MAX_BYTES);
  strbuf_add(&out->written, strbuf_slice(&from->written));
  for (const struct static_service *service = from->services; service != NULL; service = service->next)
    add_service(&out->services, slice_from_string(service->name))->list = endpoint_list_copy(&service->list);
}

void saved_lists_close(struct saved_lists *saved)
{
  static_list_free(&saved->services);
  strbuf_free(&saved->written);
  free(saved->path);
  *saved = (struct saved_lists){0};
}

const struct endpoint_list *saved_lists_find(const struct saved_lists *saved, const char *service)
{
  return static_list_find(saved->services, service);
}

// ---- writing ----

static bool write_all(int fd, struct slice text)
{
  while (text.size != 0) {
    ssize_t size = write(fd, text.data, text.size);
    if (size < 0 && errno == EINTR)
      continue;
    if (size <= 0)
      return false;
    text = slice_skip(text, (size_t)size);
  }
  return true;
}

static bool write_new_file(const char *path, struct slice text)
{
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0)
    return false;
  bool is_written = write_all(fd, text) && fsync(fd) == 0;
  int failure = errno;
  close(fd);
  errno = failure;
  return is_written;
}

static bool replace_file(const char *path, struct slice text)
{
  struct strbuf name;
  // The process id alone is the same in all containers.
  char host[HOST_NAME_MAX + 1] = "";
  (void)gethostname(host, sizeof(host) - 1);
  strbuf_init(&name, 0);
  strbuf_printf(&name, "%s.%s.%ld", path, host, (long)getpid());
  bool is_replaced = write_new_file(strbuf_cstring(&name), text) && rename(strbuf_cstring(&name), path) == 0;
  int failure = errno;
  if (!is_replaced)
    (void)unlink(strbuf_cstring(&name));
  strbuf_free(&name);
  errno = failure;
  return is_replaced;
}

static void write_file(struct saved_lists *saved)
{
  struct strbuf text;
  strbuf_init(&text, SAVED_LISTS_MAX_BYTES);
  saved_lists_format(saved->services, &text);
  bool is_news = !text.failed && !slice_equal(strbuf_slice(&text), strbuf_slice(&saved->written));
  bool has_failed = is_news && !replace_file(saved->path, strbuf_slice(&text));
  if (has_failed && !saved->has_failed)
    log_warn(
        "discovery",
        "could not save the endpoints of services; a start without Consul or DNS will not find them; check the folder "
        "that STATE_DIR names",
        LOG_STRING("path", saved->path), LOG_STRING("reason", strerror(errno)));
  saved->has_failed = has_failed;
  if (is_news && !has_failed) {
    strbuf_clear(&saved->written);
    strbuf_add(&saved->written, strbuf_slice(&text));
  }
  strbuf_free(&text);
}

void saved_lists_keep(struct saved_lists *saved, const char *service, const struct endpoint_list *list)
{
  if (saved->path == NULL || list->count == 0)
    return;
  struct static_service *known = find_service(saved->services, slice_from_string(service));
  if (known == NULL)
    known = add_service(&saved->services, slice_from_string(service));
  endpoint_list_free(&known->list);
  known->list = endpoint_list_copy(list);
  write_file(saved);
}
