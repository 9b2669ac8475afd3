# shellcheck shell=bash
# The mail catcher of the local stack: npm's maildev. It takes what the services send to anybody, delivers nothing, and shows it on a page.
# Sourced by deploy/local/stack.
#
# Where MAIL_URL is given, mails go there, and there is no catcher.

has_mail_catcher() { [ -z "${MAIL_URL:-}" ]; }

# choose_mail_ports: sets MAIL_PORT (SMTP) and MAIL_PAGE_PORT, those of the last run where they are free.
choose_mail_ports() {
  [ -s "$RUN_DIR/mail.ports" ] || echo "$(free_port) $(free_port)" >"$RUN_DIR/mail.ports"
  read -r MAIL_PORT MAIL_PAGE_PORT <"$RUN_DIR/mail.ports"
}

mail_page_answers() { curl -sf --noproxy '*' "http://127.0.0.1:$MAIL_PAGE_PORT/healthz"; }

# Mails wait in their queue until it listens, so nobody waits for it here.
start_mail_catcher() {
  choose_mail_ports
  is_running mail && return
  mkdir -p "$RUN_DIR/mail"
  launch mail node "$ROOT/build/tools/mail/node_modules/maildev/bin/maildev" --ip 127.0.0.1 --smtp "$MAIL_PORT" --web "$MAIL_PAGE_PORT" \
    --mail-directory "$RUN_DIR/mail" --silent
}

# mail_environment: where the services' mails go.
mail_environment() {
  has_mail_catcher || return 0
  choose_mail_ports
  read_gateway_ports gateway
  export ACCOUNT_URL=${ACCOUNT_URL:-http://localhost:$GATEWAY_PORT/account}
  export MAIL_URL=smtp://127.0.0.1:$MAIL_PORT MAIL_WITHOUT_TLS=true MAIL_FROM=${MAIL_FROM:-accounts@localhost.localdomain}
}
