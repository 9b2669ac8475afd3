// The mailer against a server that says what each test has written down for it. The real server of the tests of the
// whole suite never refuses.
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/thread.h"
#include "common/mail/mailer.h"
#include "common/runtime/loop.h"
#include "common/runtime/task.h"

TestSuite(mailer);

// ---- the server ----

// What it answers to a command that begins with `command`; what is not listed is answered with 250.
struct line {
  const char *command;
  const char *answer;
};

struct server {
  int listener;
  pthread_t thread;
  const struct line *lines;  // ends with a NULL command
  char heard[8192];          // all that clients have said
  size_t size;
  int connections;
};

static const char *find_answer(const struct server *server, const char *said, bool *in_data)
{
  if (*in_data) {
    if (strcmp(said, ".\r\n") != 0)
      return "";
    *in_data = false;
    said = "END";
  }
  for (const struct line *line = server->lines; line->command != NULL; line++)
    if (strncmp(said, line->command, strlen(line->command)) == 0)
      return line->answer;
  *in_data = strncmp(said, "DATA", 4) == 0;
  return *in_data ? "354 go on\r\n" : "250 fine\r\n";
}

static void hear(struct server *server, const char *said)
{
  size_t size = strlen(said);
  if (server->size + size < sizeof(server->heard))
    memcpy(server->heard + server->size, said, size + 1);
  server->size += size;
}

// Serves one connection until the client closes it, or an answer is NULL.
static void serve(struct server *server, int connection)
{
  FILE *in = fdopen(connection, "r+");
  cr_assert_not_null(in);
  setvbuf(in, NULL, _IONBF, 0);
  fputs("220 test\r\n", in);
  char said[2048];
  bool in_data = false;
  while (fgets(said, sizeof(said), in) != NULL) {
    hear(server, said);
    const char *answer = find_answer(server, said, &in_data);
    if (answer == NULL)
      break;
    fputs(answer, in);
  }
  fclose(in);
}

static void *run_server(void *arg)
{
  struct server *server = arg;
  int connection;
  while ((connection = accept(server->listener, NULL, NULL)) >= 0) {
    server->connections++;
    serve(server, connection);
  }
  return NULL;
}

static void start_server(struct server *server, char url[64])
{
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof(address);
  server->listener = socket(AF_INET, SOCK_STREAM, 0);
  cr_assert_eq(bind(server->listener, (struct sockaddr *)&address, size), 0);
  cr_assert_eq(listen(server->listener, 8), 0);
  cr_assert_eq(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
  snprintf(url, 64, "smtp://127.0.0.1:%d", ntohs(address.sin_port));
  cr_assert(thread_start(&server->thread, run_server, server));
}

// Ends once the mailer has closed its connections.
static void stop_server(struct server *server)
{
  shutdown(server->listener, SHUT_RDWR);
  pthread_join(server->thread, NULL);
  close(server->listener);
}

// ---- one mail ----

struct sending {
  struct loop *loop;
  struct mailer *mailer;
  struct slice message;
  int mails;
  uint64_t limit_ms;
  enum status status;
  struct error error;
};

static void send_mails(void *arg)
{
  struct sending *sending = arg;
  for (int i = 0; i < sending->mails; i++)
    sending->status =
        mailer_send(sending->mailer, "from@example.com", "to@example.org", sending->message, &sending->error);
  loop_stop(sending->loop);
}

static void send_by(struct sending *sending, struct mailer_options options)
{
  struct error error = {0};
  sending->loop = loop_create();
  cr_assert_eq(mailer_create(sending->loop, &options, &sending->mailer, &error), STATUS_OK, "%s", error.message);
  uint64_t deadline_us = sending->limit_ms == 0 ? DEADLINE_NONE : deadline_after_ms(clock_now_us(), sending->limit_ms);
  task_start(sending->loop, send_mails, sending, deadline_us, NULL);
  loop_run(sending->loop);
  mailer_free(&sending->mailer);
  loop_free(&sending->loop);
}

static struct sending converse(struct server *server, int mails)
{
  char url[64];
  start_server(server, url);
  struct sending sending = {.message = SLICE("Subject: x\r\n\r\nhello\r\n.\r\nbye\r\n"), .mails = mails};
  send_by(&sending, (struct mailer_options){.url = url, .without_tls = true});
  stop_server(server);
  return sending;
}

static struct sending converse_once(const struct line *lines)
{
  struct server server = {.lines = lines};
  return converse(&server, 1);
}

Test(mailer, a_mail_arrives_as_it_is)
{
  struct server server = {.lines = (const struct line[]){{NULL, NULL}}};
  struct sending sending = converse(&server, 1);
  cr_assert_eq(sending.status, STATUS_OK, "%s", sending.error.message);
  cr_expect_not_null(strstr(server.heard, "MAIL FROM:<from@example.com>"));
  cr_expect_not_null(strstr(server.heard, "RCPT TO:<to@example.org>\r\n"));
  cr_expect_not_null(strstr(server.heard, "DATA\r\nSubject: x\r\n\r\nhello\r\n..\r\nbye\r\n.\r\n"),
                     "a line that is a dot ends no mail");
}

Test(mailer, mails_share_a_connection)
{
  struct server server = {.lines = (const struct line[]){{NULL, NULL}}};
  struct sending sending = converse(&server, 3);
  cr_assert_eq(sending.status, STATUS_OK, "%s", sending.error.message);
  cr_expect_eq(server.connections, 1);
}

Test(mailer, what_is_refused_for_good_is_final)
{
  struct sending sending = converse_once((const struct line[]){{"RCPT", "550 no such user\r\n"}, {NULL, NULL}});
  cr_expect_eq(sending.status, STATUS_FAILED_PRECONDITION);
  cr_expect_not_null(strstr(sending.error.message, "550"), "%s", sending.error.message);
  cr_expect_null(strstr(sending.error.message, "example.org"), "no address gets into a log");
  sending = converse_once((const struct line[]){{"END", "554 spam\r\n"}, {NULL, NULL}});
  cr_expect_eq(sending.status, STATUS_FAILED_PRECONDITION, "%s", sending.error.message);
}

// An operator mends a sender that the server does not want; no mail is lost meanwhile.
Test(mailer, a_refused_sender_may_be_repeated)
{
  struct sending sending = converse_once((const struct line[]){{"MAIL", "550 not you\r\n"}, {NULL, NULL}});
  cr_expect_eq(sending.status, STATUS_UNAVAILABLE, "%s", sending.error.message);
}

Test(mailer, what_is_refused_for_now_may_be_repeated)
{
  struct sending sending = converse_once((const struct line[]){{"RCPT", "450 greylisted\r\n"}, {NULL, NULL}});
  cr_expect_eq(sending.status, STATUS_UNAVAILABLE, "%s", sending.error.message);
  sending = converse_once((const struct line[]){{"END", "451 try later\r\n"}, {NULL, NULL}});
  cr_expect_eq(sending.status, STATUS_UNAVAILABLE, "%s", sending.error.message);
  sending = converse_once((const struct line[]){{"END", NULL}, {NULL, NULL}});
  cr_expect_eq(sending.status, STATUS_UNAVAILABLE, "%s", sending.error.message);
  sending = converse_once(
      (const struct line[]){{"EHLO", "421 going down\r\n"}, {"HELO", "421 going down\r\n"}, {NULL, NULL}});
  cr_expect_eq(sending.status, STATUS_UNAVAILABLE, "%s", sending.error.message);
}

// An answer of nothing leaves the client waiting.
Test(mailer, a_silent_server_holds_a_mail_up_until_its_deadline_only)
{
  struct server server = {.lines = (const struct line[]){{"MAIL", ""}, {NULL, NULL}}};
  char url[64];
  start_server(&server, url);
  struct sending sending = {.message = SLICE("x\r\n"), .mails = 1, .limit_ms = 200};
  send_by(&sending, (struct mailer_options){.url = url, .without_tls = true});
  stop_server(&server);
  cr_expect(sending.status == STATUS_DEADLINE_EXCEEDED || sending.status == STATUS_UNAVAILABLE, "%s",
            status_name(sending.status));
}

Test(mailer, nothing_listens)
{
  struct sending sending = {.message = SLICE("x\r\n"), .mails = 1};
  send_by(&sending, (struct mailer_options){.url = "smtp://127.0.0.1:1", .without_tls = true});
  cr_expect_eq(sending.status, STATUS_UNAVAILABLE, "%s", sending.error.message);
}

// Neither account nor mail crosses the network in the clear, also where the server offers nothing else.
Test(mailer, says_nothing_to_a_server_without_tls)
{
  struct server server = {.lines =
                              (const struct line[]){{"EHLO", "250-test\r\n250 AUTH PLAIN LOGIN\r\n"}, {NULL, NULL}}};
  char url[64];
  start_server(&server, url);
  struct sending sending = {.message = SLICE("x\r\n"), .mails = 1};
  send_by(&sending, (struct mailer_options){.url = url, .user = "ada", .password = "secret"});
  stop_server(&server);
  cr_expect_eq(sending.status, STATUS_UNAVAILABLE, "%s", sending.error.message);
  cr_expect_null(strstr(server.heard, "AUTH"), "%s", server.heard);
  cr_expect_null(strstr(server.heard, "MAIL"), "%s", server.heard);
}

Test(mailer, names_its_account_where_it_is_told_that_the_way_is_safe)
{
  struct server server = {.lines = (const struct line[]){
                              {"EHLO", "250-test\r\n250 AUTH PLAIN\r\n"}, {"AUTH", "535 wrong\r\n"}, {NULL, NULL}}};
  char url[64];
  start_server(&server, url);
  struct sending sending = {.message = SLICE("x\r\n"), .mails = 1};
  send_by(&sending, (struct mailer_options){.url = url, .user = "ada", .password = "secret", .without_tls = true});
  stop_server(&server);
  cr_expect_eq(sending.status, STATUS_UNAVAILABLE, "an operator will mend it");
  cr_expect_not_null(strstr(sending.error.message, "MAIL_USER"), "%s", sending.error.message);
  cr_expect_null(strstr(sending.error.message, "secret"));
}

Test(mailer, refuses_urls_that_it_does_not_serve)
{
  static const char *const wrong[] = {"",
                                      "127.0.0.1:25",
                                      "http://127.0.0.1",
                                      "smtp://",
                                      "smtp://ada:secret@127.0.0.1",
                                      "smtp://127.0.0.1/host.example",
                                      "smtp://127.0.0.1?x"};
  struct loop *loop = loop_create();
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
    struct mailer *mailer = NULL;
    struct error error = {0};
    cr_expect_eq(mailer_create(loop, &(struct mailer_options){.url = wrong[i]}, &mailer, &error),
                 STATUS_INVALID_ARGUMENT, "%s", wrong[i]);
    cr_expect_null(strstr(error.message, "secret"));
    cr_expect_null(mailer);
  }
  loop_free(&loop);
}

// A password may cross this machine in the clear, and no network.
Test(mailer, refuses_to_send_a_password_in_the_clear_to_another_machine)
{
  static const struct {
    struct mailer_options options;
    enum status status;
  } cases[] = {
      {{.url = "smtp://mail.example.com:25", .user = "ada", .password = "secret", .without_tls = true},
       STATUS_INVALID_ARGUMENT},
      {{.url = "smtp://192.0.2.7", .user = "ada", .password = "secret", .without_tls = true}, STATUS_INVALID_ARGUMENT},
      {{.url = "smtp://127.example.com", .user = "ada", .password = "secret", .without_tls = true},
       STATUS_INVALID_ARGUMENT},
      {{.url = "smtp://mail.example.com", .without_tls = true}, STATUS_OK},
      {{.url = "smtp://mail.example.com", .user = "ada", .password = "secret"}, STATUS_OK},
      {{.url = "smtps://mail.example.com", .user = "ada", .password = "secret", .without_tls = true}, STATUS_OK},
      {{.url = "smtp://localhost:25", .user = "ada", .password = "secret", .without_tls = true}, STATUS_OK},
      {{.url = "smtp://[::1]:25", .user = "ada", .password = "secret", .without_tls = true}, STATUS_OK},
      {{.url = "smtp://127.0.0.1", .user = "ada", .password = "secret", .without_tls = true}, STATUS_OK},
  };
  struct loop *loop = loop_create();
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    struct mailer *mailer = NULL;
    struct error error = {0};
    cr_expect_eq(mailer_create(loop, &cases[i].options, &mailer, &error), cases[i].status, "%s", cases[i].options.url);
    cr_expect_null(strstr(error.message, "secret"));
    mailer_free(&mailer);
  }
  loop_free(&loop);
}
