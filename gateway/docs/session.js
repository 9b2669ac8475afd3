// The login of the page: access and refresh token of one caller, kept for this tab only and renewed before they expire.
'use strict';

const SESSION_KEY = 'session';
const RENEW_BEFORE_MS = 60000;

class Session {
  // `operations` maps operationIds to {method, path}. `changed(session)` is called with each new token and when the
  // session ends.
  constructor(operations, changed) {
    this.operations = operations;
    this.changed = changed;
    this.tokens = JSON.parse(sessionStorage.getItem(SESSION_KEY));
    this.timer = undefined;
  }

  get accessToken() {
    return this.tokens === null ? undefined : this.tokens.accessToken;
  }

  // Resolves to the reply's JSON; an error carries the sentence of the problem document.
  async call(operationId, body) {
    const { method, path } = this.operations.get(operationId);
    const headers = {};
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    if (this.accessToken !== undefined) headers.Authorization = `Bearer ${this.accessToken}`;
    const reply = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    const json = reply.status === 204 ? null : await reply.json();
    if (!reply.ok) throw new Error(json.detail || reply.statusText);
    return json;
  }

  keep(tokens) {
    this.tokens = tokens && { ...tokens, expiresAt: Date.now() + tokens.expiresIn * 1000 };
    if (tokens === null) sessionStorage.removeItem(SESSION_KEY);
    else sessionStorage.setItem(SESSION_KEY, JSON.stringify(this.tokens));
    this.plan();
    this.changed(this);
  }

  plan() {
    clearTimeout(this.timer);
    if (this.tokens === null) return;
    const inMs = this.tokens.expiresAt - RENEW_BEFORE_MS - Date.now();
    this.timer = setTimeout(() => this.renew(), Math.max(inMs, 0));
  }

  async login(email, password) {
    this.tokens = null;
    let reply = await this.call('AuthService_Login', { email, password });
    if (reply.challenge !== undefined) reply = await this.takeSecondStep(reply.challenge);
    this.keep(reply);
  }

  // An account with a second factor gets its tokens by a code.
  async takeSecondStep(challenge) {
    const code = window.prompt('The code that your authenticator app shows, or a recovery code:');
    if (!code) throw new Error('Not logged in: the account needs a code, too.');
    return this.call('FactorService_VerifyLogin', { challenge, code });
  }

  // A refresh token works once; when it is refused, the session is over.
  async renew() {
    const { refreshToken } = this.tokens;
    this.tokens = null;
    this.keep(await this.call('AuthService_Refresh', { refreshToken }).catch(() => null));
  }

  async logout() {
    const { refreshToken } = this.tokens;
    this.keep(null);
    await this.call('AuthService_Logout', { refreshToken }).catch(() => null);
  }

  // Resumes the session that this tab had before the page was loaded again.
  async resume() {
    if (this.tokens === null) return;
    if (this.tokens.expiresAt - Date.now() < RENEW_BEFORE_MS) return this.renew();
    this.plan();
    this.changed(this);
  }
}
