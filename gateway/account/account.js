// The account page: signing in, sessions, passkeys and other factors, API keys, the password, and what links in mails are for.
// Texts of the server are shown as text, never as markup.
'use strict';

const byId = (id) => document.getElementById(id);
const SECTIONS = ['link', 'reset', 'sign-in', 'second-step', 'account'];

// What a link in a mail is for: the token behind it, from #reset=TOKEN.
let link = { purpose: '', token: '' };
// The challenge of a login that waits for its second step.
let challenge = '';

const session = new Session(() => run(showWhatFits));

// ---- what is shown ----

function show(section) {
  for (const id of SECTIONS) byId(id).hidden = id !== section;
  if (section !== 'account') forgetSecrets();
  byId('signed-in').hidden = !session.isOpen;
}

// Removes what is shown once, and to nobody who comes later.
function forgetSecrets() {
  byId('totp').hidden = true;
  byId('recovery').hidden = true;
  byId('totp-secret').textContent = '';
  byId('totp-link').removeAttribute('href');
  byId('totp-qr').removeAttribute('src');
  byId('new-key').hidden = true;
  byId('new-key-text').textContent = '';
  byId('recovery-codes').replaceChildren();
}

function say(text, isError = false) {
  byId('note').textContent = text;
  byId('note').className = isError ? 'error' : '';
}

// Runs what a click has caused and shows what came of it.
async function run(act) {
  say('');
  try {
    const text = await act();
    if (text) say(text);
  } catch (error) {
    await explain(error);
  }
}

async function explain(error) {
  if (error instanceof Problem && error.reason === 'LOGIN_TOO_OLD') {
    show('sign-in');
    say('This needs a login of the last ten minutes. Sign in again, then repeat it.', true);
  } else if (error instanceof Problem && error.status === 401 && session.isOpen) {
    session.forget();
    say('The session has ended. Sign in again.', true);
  } else if (error.name === 'NotAllowedError') {
    say('The browser was not allowed to use a passkey, or it took too long.', true);
  } else if (error.name === 'InvalidStateError') {
    say('This device has a passkey of the account already.', true);
  } else {
    say(error.message, true);
  }
}

function onSubmit(id, act) {
  byId(id).addEventListener('submit', (event) => {
    event.preventDefault();
    const form = event.target;
    run(async () => {
      const text = await act(Object.fromEntries(new FormData(form)));
      form.reset();
      return text;
    });
  });
}

function onClick(id, act) {
  byId(id).addEventListener('click', () => run(act));
}

// A line of a list: texts, and buttons given as [label, act].
function makeLine(texts, buttons) {
  const line = document.createElement('li');
  for (const [name, text] of texts) {
    const span = document.createElement('span');
    span.className = name;
    span.textContent = text;
    line.append(span);
  }
  for (const [label, act] of buttons) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = label;
    button.addEventListener('click', () => run(act));
    line.append(button);
  }
  return line;
}

const when = (time) => (time ? new Date(time).toLocaleString() : 'never');

// ---- sessions ----

async function endSession({ id, current }) {
  await session.call('DELETE', `/v1/auth/sessions/${id}`);
  if (current) session.forget();
  else await showSessions();
  return 'The session has ended.';
}

async function nameSession({ id, deviceName }) {
  const name = window.prompt('Name of the session', deviceName);
  if (!name) return '';
  await session.call('PATCH', `/v1/auth/sessions/${id}`, { deviceName: name });
  await showSessions();
  return 'The session has a new name.';
}

async function showSessions() {
  const { sessions } = await session.call('GET', '/v1/auth/sessions');
  const lines = sessions.map((each) =>
    makeLine(
      [
        ['name', each.deviceName || 'Unnamed'],
        ['detail', `${each.current ? 'this one, ' : ''}${each.address || 'unknown address'}, last used ${when(each.lastUseTime)}`],
      ],
      [
        ['Name', () => nameSession(each)],
        ['End', () => endSession(each)],
      ],
    ),
  );
  byId('sessions').replaceChildren(...lines);
}

// ---- factors ----

const KINDS = { passkey: 'Passkey', totp: 'Authenticator app' };

async function removeFactor({ id }) {
  await session.call('DELETE', `/v1/auth/factors/${id}`);
  await showFactors();
  return 'It was removed.';
}

async function showFactors() {
  const { factors, recoveryCodesLeft } = await session.call('GET', '/v1/auth/factors');
  const lines = factors.map((each) =>
    makeLine(
      [
        ['name', each.name || KINDS[each.type] || each.type],
        ['detail', `${KINDS[each.type] || each.type}, added ${when(each.createTime)}, last used ${when(each.lastUseTime)}`],
      ],
      [['Remove', () => removeFactor(each)]],
    ),
  );
  byId('factors').replaceChildren(...lines);
  byId('codes-left').hidden = !recoveryCodesLeft;
  byId('codes-left').textContent = `${recoveryCodesLeft} recovery codes are left.`;
}

function checkBrowser() {
  if (!window.PublicKeyCredential || !PublicKeyCredential.parseCreationOptionsFromJSON)
    throw new Error('This browser does not know passkeys, or the page was not opened by HTTPS or on localhost.');
}

async function addPasskey({ name }) {
  checkBrowser();
  const options = await session.call('POST', '/v1/auth/passkeys/register/begin', {});
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  const made = await navigator.credentials.create({ publicKey });
  await session.call('POST', '/v1/auth/passkeys/register/finish', { ...made.toJSON(), name });
  await showFactors();
  return 'The passkey was added.';
}

async function addTotp() {
  const { secret, otpauthUri, qrSvg } = await session.call('POST', '/v1/auth/factors/totp', {});
  byId('totp-secret').textContent = secret;
  byId('totp-link').href = otpauthUri;
  // An image runs no script, and the page's policy lets none in but from a data: URL.
  byId('totp-qr').hidden = qrSvg === '';
  byId('totp-qr').src = `data:image/svg+xml,${encodeURIComponent(qrSvg)}`;
  byId('totp').hidden = false;
}

async function confirmTotp({ code }) {
  const { recoveryCodes } = await session.call('POST', '/v1/auth/factors/totp/confirm', { code });
  forgetSecrets();
  byId('recovery').hidden = false;
  byId('recovery-codes').replaceChildren(...recoveryCodes.map((each) => makeLine([['name', each]], [])));
  await showFactors();
  return 'The app was added. Logins ask for a code from now on.';
}

// ---- API keys ----

async function revokeKey({ id }) {
  await session.call('DELETE', `/v1/apiKeys/${id}`);
  await showKeys();
  return 'The key was revoked.';
}

async function showKeys() {
  const { apiKeys } = await session.call('GET', '/v1/apiKeys');
  const lines = apiKeys.map((each) =>
    makeLine(
      [
        ['name', each.name],
        [
          'detail',
          `${each.keyPrefix}…, ${each.scopes.join(', ')}, last used ${when(each.lastUseTime)}, expires ${when(each.expireTime)}`,
        ],
      ],
      [['Revoke', () => revokeKey(each)]],
    ),
  );
  byId('keys').replaceChildren(...lines);
}

// The permissions that the signed-in user can give a key: those that every user holds and those that his token names; an admin
// holds all.
async function findScopes() {
  const { paths } = await session.call('GET', '/openapi.json');
  const { roles = [], permissions = [] } = session.claims;
  const holds = (name, everyUser) => everyUser || roles.includes('admin') || permissions.includes(name);
  const scopes = new Set();
  for (const operation of Object.values(paths).flatMap((path) => Object.values(path))) {
    const { 'x-permission': own, 'x-permission-any': any, 'x-every-user': everyUser } = operation;
    if (own && holds(own, everyUser)) scopes.add(own);
    if (any && holds(any, false)) scopes.add(any);
  }
  return [...scopes].sort();
}

function makeCheck(value) {
  const box = document.createElement('input');
  box.type = 'checkbox';
  box.value = value;
  const label = document.createElement('label');
  label.className = 'check';
  label.append(box, ` ${value}`);
  return label;
}

async function beginKey() {
  byId('key-scopes').replaceChildren(...(await findScopes()).map(makeCheck));
  byId('key-form').hidden = false;
}

async function addKey({ name, lastDay }) {
  const scopes = [...byId('key-scopes').querySelectorAll('input:checked')].map((box) => box.value);
  if (scopes.length === 0) throw new Error('Choose what the key may do.');
  const body = { name, scopes };
  if (lastDay) body.expireTime = new Date(`${lastDay}T23:59:59`).toISOString();
  const { key } = await session.call('POST', '/v1/apiKeys', body);
  byId('new-key-text').textContent = key;
  byId('new-key').hidden = false;
  byId('key-form').hidden = true;
  await showKeys();
  return 'The key was made.';
}

// ---- signing in ----

// Takes the answer of a first proof: tokens, or the challenge of a second step.
function take(answer) {
  if (answer.accessToken) {
    if (session.isOpen) session.forget();
    session.keep(answer);
    return;
  }
  challenge = answer.challenge;
  byId('passkey-second').hidden = !answer.factors.includes('passkey');
  show('second-step');
}

async function signIn({ email, password }) {
  take(await session.call('POST', '/v1/auth/login', { email, password, deviceToken: session.deviceToken }));
}

async function signByPasskey() {
  checkBrowser();
  const options = await session.call('POST', '/v1/auth/passkeys/login/begin', {});
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  const signed = await navigator.credentials.get({ publicKey });
  return signed.toJSON();
}

async function signInByPasskey() {
  const body = { ...(await signByPasskey()), deviceToken: session.deviceToken };
  take(await session.call('POST', '/v1/auth/passkeys/login/finish', body));
}

async function proveSecondStep({ code, rememberDevice }) {
  const body = { challenge, code, rememberDevice: rememberDevice !== undefined };
  take(await session.call('POST', '/v1/auth/login/verify', body));
}

async function proveByPasskey() {
  const rememberDevice = byId('code-form').elements.rememberDevice.checked;
  const body = { challenge, passkey: await signByPasskey(), rememberDevice };
  take(await session.call('POST', '/v1/auth/login/verify', body));
}

async function askForReset() {
  const email = byId('password-form').elements.email.value;
  if (email === '') return 'Write your e-mail address first.';
  await session.call('POST', '/v1/auth/password/forgot', { email });
  return 'If an account has this address, a mail with a link is on its way.';
}

// ---- password and e-mail ----

async function resetPassword({ newPassword }) {
  await session.call('POST', '/v1/auth/password/reset', { token: link.token, newPassword });
  link = { purpose: '', token: '' };
  if (session.isOpen) session.forget();
  else await showWhatFits();
  return 'The password was set. Sign in with it.';
}

async function changePassword(passwords) {
  await session.call('POST', '/v1/auth/password/change', passwords);
  await showSessions();
  return 'The password was changed, and all other sessions have ended.';
}

async function changeEmail({ newEmail }) {
  await session.call('POST', '/v1/auth/email/change', { newEmail });
  return 'A mail with a link is on its way to the new address.';
}

const LINKS = {
  verify: { title: 'Confirm this e-mail address', path: '/v1/auth/email/verify', done: 'The address was confirmed.' },
  undo: { title: 'Take back the change of the e-mail', path: '/v1/auth/email/undo', done: 'The change was taken back.' },
};

async function followLink() {
  const { path, done } = LINKS[link.purpose];
  await session.call('POST', path, { token: link.token });
  link = { purpose: '', token: '' };
  // An undo has ended all sessions, this tab's, too.
  if (path === LINKS.undo.path && session.isOpen) session.forget();
  else await showWhatFits();
  return done;
}

// Takes the token out of the address, so that it stays in no history and no bookmark.
function readLink() {
  const [, purpose, token] = /^#(reset|verify|undo)=([\w.~-]+)$/.exec(location.hash) || [];
  if (token === undefined) return;
  link = { purpose, token };
  history.replaceState(null, '', location.pathname);
}

// ---- the whole ----

async function showAccount() {
  const user = await session.call('GET', '/v1/users/me');
  byId('who').textContent = user.displayName || user.email;
  show('account');
  await Promise.all([showSessions(), showFactors(), showKeys()]);
}

async function showWhatFits() {
  if (link.purpose === 'reset') return show('reset');
  if (link.purpose !== '') {
    byId('link-title').textContent = LINKS[link.purpose].title;
    return show('link');
  }
  if (!session.isOpen) return show('sign-in');
  return showAccount();
}

onSubmit('password-form', signIn);
onSubmit('code-form', proveSecondStep);
onSubmit('reset-form', resetPassword);
onSubmit('passkey-form', addPasskey);
onSubmit('totp-form', confirmTotp);
onSubmit('key-form', addKey);
onSubmit('change-form', changePassword);
onSubmit('email-form', changeEmail);
onClick('passkey-sign-in', signInByPasskey);
onClick('passkey-second', proveByPasskey);
onClick('forgot', askForReset);
onClick('link-follow', followLink);
onClick('totp-add', addTotp);
onClick('key-add', beginKey);
onClick('sign-out', () => session.end());
onClick('end-others', async () => {
  await session.call('POST', '/v1/auth/sessions:revokeOthers', {});
  await showSessions();
  return 'All other sessions have ended.';
});
window.addEventListener('hashchange', () => {
  readLink();
  run(showWhatFits);
});

readLink();
run(async () => {
  await session.resume();
  await showWhatFits();
});
