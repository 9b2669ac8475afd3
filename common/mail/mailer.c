// The task makes a transfer and hands it to the thread under the mutex; the thread hands it back, and wakes the loop by
// an event descriptor. A transfer belongs to the thread in between. What its task has given up meanwhile is freed when
// it comes back.
#include "common/mail/mailer.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/memory.h"
#include "common/base/strbuf.h"
#include "common/base/thread.h"
#include "common/runtime/loop.h"
#include "common/runtime/task.h"

#define CONNECT_TIMEOUT_MS 10000L
// The longest that one mail may take, also for a task without a deadline.
#define SEND_TIMEOUT_MS 600000
#define MAX_CONNECTIONS 4L
// More mails at once than the queue's workers ever send.
#define MAX_TRANSFERS 64

struct transfer {
  struct list of_all;  // of the loop's thread: in mailer.all
  struct list node;    // under the mutex: in mailer.begun or mailer.ended
  CURL *easy;
  struct curl_slist *recipients;
  struct strbuf message;
  size_t sent;
  char reason[CURL_ERROR_SIZE];
  CURLcode result;
  long reply;                 // the server's last reply code; 0 for none
  struct completion *waiter;  // of the loop's thread: what waits; NULL once the task has given up
  bool is_done;               // of the loop's thread: the thread has handed it back
};

struct mailer {
  struct loop *loop;
  struct loop_watch *watch;
  int event_fd;
  char *url, *user, *password, *ca_file;
  bool without_tls;
  struct list all;  // of the loop's thread: the transfers that are not freed
  size_t count;     // of them
  CURLM *multi;
  pthread_t thread;
  pthread_mutex_t mutex;
  struct list begun;  // under the mutex
  struct list ended;  // under the mutex
  bool stop;          // under the mutex
};

static struct transfer *transfer_at(struct list *node)
{
  return (struct transfer *)((char *)node - offsetof(struct transfer, node));
}

// ---- one transfer ----

static size_t give_message(char *out, size_t size, size_t count, void *arg)
{
  struct transfer *transfer = arg;
  size_t left = transfer->message.size - transfer->sent;
  size_t taken = left < size * count ? left : size * count;
  if (taken > 0)
    memcpy(out, transfer->message.data + transfer->sent, taken);
  transfer->sent += taken;
  return taken;
}

static void set_account(const struct mailer *mailer, CURL *easy)
{
  if (mailer->user == NULL || mailer->user[0] == '\0')
    return;
  CHECK(curl_easy_setopt(easy, CURLOPT_USERNAME, mailer->user) == CURLE_OK);
  CHECK(curl_easy_setopt(easy, CURLOPT_PASSWORD, mailer->password == NULL ? "" : mailer->password) == CURLE_OK);
}

static void set_options(const struct mailer *mailer, struct transfer *transfer, const char *from)
{
  CURL *easy = transfer->easy;
  CHECK(curl_easy_setopt(easy, CURLOPT_URL, mailer->url) == CURLE_OK);
  CHECK(curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps") == CURLE_OK);
  CHECK(curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") == CURLE_OK);
  CHECK(curl_easy_setopt(easy, CURLOPT_MAIL_FROM, from) == CURLE_OK);
  CHECK(curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, transfer->recipients) == CURLE_OK);
  set_account(mailer, easy);
  if (mailer->ca_file != NULL && mailer->ca_file[0] != '\0')
    CHECK(curl_easy_setopt(easy, CURLOPT_CAINFO, mailer->ca_file) == CURLE_OK);
  curl_easy_setopt(easy, CURLOPT_USE_SSL, mailer->without_tls ? (long)CURLUSESSL_NONE : (long)CURLUSESSL_ALL);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
  curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_message);
  curl_easy_setopt(easy, CURLOPT_READDATA, transfer);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->reason);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
}

static struct transfer *transfer_create(struct mailer *mailer, const char *from, const char *to, struct slice message)
{
  struct transfer *transfer = calloc(1, sizeof(*transfer));
  CHECK(transfer != NULL);
  list_append(&mailer->all, &transfer->of_all);
  mailer->count++;
  list_init(&transfer->node);
  strbuf_init(&transfer->message, 0);
  strbuf_add(&transfer->message, message);
  transfer->easy = curl_easy_init();
  transfer->recipients = curl_slist_append(NULL, to);
  CHECK(transfer->easy != NULL && transfer->recipients != NULL);
  set_options(mailer, transfer, from);
  uint64_t left_ms = deadline_left_ms(task_deadline_us(), clock_now_us());
  long timeout_ms = left_ms > SEND_TIMEOUT_MS ? SEND_TIMEOUT_MS : (long)left_ms;
  curl_easy_setopt(transfer->easy, CURLOPT_TIMEOUT_MS, timeout_ms > 0 ? timeout_ms : 1L);
  return transfer;
}

static void transfer_free(struct mailer *mailer, struct transfer *transfer)
{
  list_remove(&transfer->of_all);
  mailer->count--;
  curl_easy_cleanup(transfer->easy);
  curl_slist_free_all(transfer->recipients);
  strbuf_free(&transfer->message);
  free(transfer);
}

// ---- the thread ----

// Takes what tasks have begun. False when the thread must end.
static bool take_begun(struct mailer *mailer)
{
  struct list taken;
  list_init(&taken);
  pthread_mutex_lock(&mailer->mutex);
  list_move_all(&mailer->begun, &taken);
  bool stop = mailer->stop;
  pthread_mutex_unlock(&mailer->mutex);
  while (!list_empty(&taken)) {
    struct transfer *transfer = transfer_at(taken.next);
    list_remove(&transfer->node);
    CHECK(curl_multi_add_handle(mailer->multi, transfer->easy) == CURLM_OK);
  }
  return !stop;
}

static void wake_loop(const struct mailer *mailer)
{
  uint64_t one = 1;
  // A write fails only where 2^64 - 2 wakes wait, and then the loop wakes anyway.
  (void)!write(mailer->event_fd, &one, sizeof(one));
}

static void hand_back(struct mailer *mailer, struct transfer *transfer, CURLcode result)
{
  transfer->result = result;
  curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &transfer->reply);
  curl_multi_remove_handle(mailer->multi, transfer->easy);
  pthread_mutex_lock(&mailer->mutex);
  list_append(&mailer->ended, &transfer->node);
  pthread_mutex_unlock(&mailer->mutex);
  wake_loop(mailer);
}

static bool hand_back_ended(struct mailer *mailer)
{
  CURLMsg *message;
  bool any = false;
  int left;
  while ((message = curl_multi_info_read(mailer->multi, &left)) != NULL) {
    struct transfer *transfer;
    CURLcode result = message->data.result;
    CHECK(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer) == CURLE_OK);
    hand_back(mailer, transfer, result);
    any = true;
  }
  return any;
}

static void *run_thread(void *arg)
{
  struct mailer *mailer = arg;
  while (take_begun(mailer)) {
    int running;
    CHECK(curl_multi_perform(mailer->multi, &running) == CURLM_OK);
    if (!hand_back_ended(mailer))
      curl_multi_poll(mailer->multi, NULL, 0, 60000, NULL);
  }
  return NULL;
}

// ---- the loop's side ----

static void finish(struct mailer *mailer, struct transfer *transfer)
{
  transfer->is_done = true;
  if (transfer->waiter != NULL) {
    completion_finish(transfer->waiter, STATUS_OK);
    return;
  }
  transfer_free(mailer, transfer);
}

static void take_ended(void *arg, int events)
{
  (void)events;
  struct mailer *mailer = arg;
  struct list taken;
  uint64_t count;
  list_init(&taken);
  (void)!read(mailer->event_fd, &count, sizeof(count));
  pthread_mutex_lock(&mailer->mutex);
  list_move_all(&mailer->ended, &taken);
  pthread_mutex_unlock(&mailer->mutex);
  while (!list_empty(&taken)) {
    struct transfer *transfer = transfer_at(taken.next);
    list_remove(&transfer->node);
    finish(mailer, transfer);
  }
}

static enum status judge(const struct transfer *transfer, struct error *error)
{
  if (transfer->result == CURLE_OK)
    return STATUS_OK;
  const char *reason = transfer->reason[0] != '\0' ? transfer->reason : curl_easy_strerror(transfer->result);
  if (transfer->result == CURLE_LOGIN_DENIED)
    return error_set(error, STATUS_UNAVAILABLE, "the SMTP server does not accept MAIL_USER and MAIL_PASSWORD");
  // A server that refuses the sender, or everybody, has to be mended by an operator. What it says of the recipient or
  // of the message itself is final.
  bool is_of_mail = transfer->sent == transfer->message.size || strncmp(reason, "RCPT", 4) == 0;
  if (is_of_mail && transfer->reply >= 500 && transfer->reply <= 599)
    return error_set(error, STATUS_FAILED_PRECONDITION, "the SMTP server refused the mail: %s (%ld)", reason,
                     transfer->reply);
  return error_set(error, STATUS_UNAVAILABLE, "the mail cannot be sent now: %s (%ld)", reason, transfer->reply);
}

static void begin(struct mailer *mailer, struct transfer *transfer)
{
  pthread_mutex_lock(&mailer->mutex);
  list_append(&mailer->begun, &transfer->node);
  pthread_mutex_unlock(&mailer->mutex);
  curl_multi_wakeup(mailer->multi);
}

enum status mailer_send(struct mailer *mailer, const char *from, const char *to, struct slice message,
                        struct error *error)
{
  if (mailer->count >= MAX_TRANSFERS)
    return error_set(error, STATUS_UNAVAILABLE, "too many mails are being sent at once");
  struct completion completion = COMPLETION_INIT;
  completion.what = "SMTP server";
  struct transfer *transfer = transfer_create(mailer, from, to, message);
  transfer->waiter = &completion;
  begin(mailer, transfer);
  enum status status = completion_wait(&completion);
  transfer->waiter = NULL;
  if (!transfer->is_done)
    return error_set(error, status, "the SMTP server has not answered in time");
  status = judge(transfer, error);
  transfer_free(mailer, transfer);
  return status;
}

// ---- life ----

static bool has_part(CURLU *url, CURLUPart part)
{
  char *text = NULL;
  bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK && strcmp(text, "/") != 0;
  curl_free(text);
  return has;
}

static enum status check_url(const char *text, struct error *error)
{
  bool is_known = strncmp(text, "smtp://", 7) == 0 || strncmp(text, "smtps://", 8) == 0;
  CURLU *url = curl_url();
  CHECK(url != NULL);
  bool is_valid = is_known && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
                  !has_part(url, CURLUPART_USER) && !has_part(url, CURLUPART_PASSWORD) &&
                  !has_part(url, CURLUPART_PATH) && !has_part(url, CURLUPART_QUERY) &&
                  !has_part(url, CURLUPART_FRAGMENT);
  curl_url_cleanup(url);
  // The URL may hold a password where none belongs, so the error does not quote it.
  return is_valid ? STATUS_OK
                  : error_set(error, STATUS_INVALID_ARGUMENT,
                              "the mail server's URL is not one of smtp:// or smtps:// with host and port only; write "
                              "it like smtp://mail.example.com:587, and the account into settings of its own");
}

// Tells whether the URL's host is this machine.
static bool is_local(const char *text)
{
  CURLU *url = curl_url();
  CHECK(url != NULL);
  char *host = NULL;
  bool is_known = curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
                  curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK;
  struct in_addr address;
  bool is_local = is_known && (strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
                               (inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127));
  curl_free(host);
  curl_url_cleanup(url);
  return is_local;
}

static enum status check_account(const struct mailer_options *options, struct error *error)
{
  bool has_password = options->password != NULL && options->password[0] != '\0';
  bool is_clear = options->without_tls && strncmp(options->url, "smtp://", 7) == 0;
  if (!has_password || !is_clear || is_local(options->url))
    return STATUS_OK;
  return error_set(error, STATUS_INVALID_ARGUMENT,
                   "the password for the mail server would cross the network in the clear; use smtps://, or smtp:// "
                   "with STARTTLS, or a server on this machine");
}

enum status mailer_create(struct loop *loop, const struct mailer_options *options, struct mailer **out,
                          struct error *error)
{
  CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
  enum status status = check_url(options->url, error);
  if (status == STATUS_OK)
    status = check_account(options, error);
  if (status != STATUS_OK)
    return status;
  struct mailer *mailer = calloc(1, sizeof(*mailer));
  CHECK(mailer != NULL);
  mailer->loop = loop;
  mailer->url = memory_copy_string(options->url);
  mailer->user = memory_copy_string(options->user);
  mailer->password = memory_copy_string(options->password);
  mailer->ca_file = memory_copy_string(options->ca_file);
  mailer->without_tls = options->without_tls;
  list_init(&mailer->all);
  list_init(&mailer->begun);
  list_init(&mailer->ended);
  mailer->multi = curl_multi_init();
  mailer->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  CHECK(mailer->multi != NULL && mailer->event_fd >= 0);
  curl_multi_setopt(mailer->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, MAX_CONNECTIONS);
  CHECK(pthread_mutex_init(&mailer->mutex, NULL) == 0);
  mailer->watch = loop_watch_fd(loop, mailer->event_fd, LOOP_READABLE, take_ended, mailer);
  CHECK(thread_start(&mailer->thread, run_thread, mailer));
  *out = mailer;
  return STATUS_OK;
}

static void free_all(struct mailer *mailer)
{
  while (!list_empty(&mailer->all)) {
    struct transfer *transfer = (struct transfer *)((char *)mailer->all.next - offsetof(struct transfer, of_all));
    curl_multi_remove_handle(mailer->multi, transfer->easy);
    list_remove(&transfer->node);
    transfer_free(mailer, transfer);
  }
}

static void erase(char *secret)
{
  if (secret != NULL)
    explicit_bzero(secret, strlen(secret));
  free(secret);
}

void mailer_free(struct mailer **pointer)
{
  struct mailer *mailer = *pointer;
  if (mailer == NULL)
    return;
  *pointer = NULL;
  pthread_mutex_lock(&mailer->mutex);
  mailer->stop = true;
  pthread_mutex_unlock(&mailer->mutex);
  curl_multi_wakeup(mailer->multi);
  pthread_join(mailer->thread, NULL);
  free_all(mailer);
  loop_watch_end(&mailer->watch);
  close(mailer->event_fd);
  curl_multi_cleanup(mailer->multi);
  pthread_mutex_destroy(&mailer->mutex);
  free(mailer->url);
  free(mailer->user);
  erase(mailer->password);
  free(mailer->ca_file);
  free(mailer);
}
