// The tokens of one caller, kept for this tab only and renewed before they expire; and the calls of the API.
'use strict';

const SESSION_KEY = 'account-session';
// Names this browser at the next login, so it outlives the session. For another account it counts as none.
const DEVICE_KEY = 'account-device';
const RENEW_BEFORE_MS = 60000;

// A problem document of the API.
class Problem extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
    this.status = status;
    this.reason = problem.reason;
  }
}

class Session {
  // `changed()` is called when the session begins and when it ends.
  constructor(changed) {
    this.changed = changed;
    this.tokens = JSON.parse(sessionStorage.getItem(SESSION_KEY));
    this.timer = undefined;
  }

  get isOpen() {
    return this.tokens !== null;
  }

  // What the access token says of its user (RFC 7519).
  get claims() {
    const [, payload] = this.tokens.accessToken.split('.');
    const bytes = Uint8Array.from(atob(payload.replace(/-/g, '+').replace(/_/g, '/')), (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  }

  get deviceToken() {
    return localStorage.getItem(DEVICE_KEY) || undefined;
  }

  // Resolves to the reply's JSON, null where it has none. Throws a Problem.
  async call(method, path, body) {
    const headers = {};
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    if (this.isOpen) headers.Authorization = `Bearer ${this.tokens.accessToken}`;
    const reply = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: 'no-store' });
    const text = await reply.text();
    const json = text === '' ? null : JSON.parse(text);
    if (!reply.ok) throw new Problem(reply.status, json || {});
    return json;
  }

  // Takes what a login or a refresh has answered.
  keep(tokens) {
    const began = !this.isOpen;
    this.tokens = { ...tokens, expiresAt: Date.now() + tokens.expiresIn * 1000 };
    sessionStorage.setItem(SESSION_KEY, JSON.stringify(this.tokens));
    if (tokens.deviceToken) localStorage.setItem(DEVICE_KEY, tokens.deviceToken);
    this.plan();
    if (began) this.changed();
  }

  forget() {
    clearTimeout(this.timer);
    this.tokens = null;
    sessionStorage.removeItem(SESSION_KEY);
    this.changed();
  }

  plan() {
    clearTimeout(this.timer);
    const inMs = this.tokens.expiresAt - RENEW_BEFORE_MS - Date.now();
    this.timer = setTimeout(() => this.renew(), Math.max(inMs, 0));
  }

  // A refusal ends the session; without an answer the next attempt is in a moment.
  async renew() {
    const { refreshToken } = this.tokens;
    try {
      this.keep(await this.call('POST', '/v1/auth/refresh', { refreshToken }));
    } catch (error) {
      if (error instanceof Problem && error.status === 401) this.forget();
      else this.timer = setTimeout(() => this.renew(), RENEW_BEFORE_MS / 10);
    }
  }

  // Goes on with the session that this tab had before the page was loaded again.
  async resume() {
    if (!this.isOpen) return;
    if (this.tokens.expiresAt - Date.now() < RENEW_BEFORE_MS) await this.renew();
    else this.plan();
  }

  async end() {
    const { refreshToken } = this.tokens;
    this.forget();
    await this.call('POST', '/v1/auth/logout', { refreshToken });
  }
}
