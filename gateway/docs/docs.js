// The API's page: Swagger UI, a login that fills in the token, and path parameters that follow what was created.
// Files of their own, so that the page's Content-Security-Policy needs no inline scripts.
'use strict';

const METHODS = ['get', 'put', 'post', 'delete', 'patch'];
const byId = (id) => document.getElementById(id);

// Maps each operationId to {method, path, parameters}.
function indexOperations(spec) {
  const operations = new Map();
  for (const [path, item] of Object.entries(spec.paths))
    for (const method of METHODS)
      if (item[method])
        operations.set(item[method].operationId, { method, path, parameters: item[method].parameters || [] });
  return operations;
}

// Fills `id` into the path parameters of operations below a collection: after a creation at /v1/items/7, the 7 goes
// into each /v1/items/{...}.
function fillIn(ui, operations, location) {
  const slash = location.lastIndexOf('/');
  const collection = `${location.slice(0, slash)}/`;
  const id = decodeURIComponent(location.slice(slash + 1));
  for (const { method, path, parameters } of operations.values()) {
    const rest = path.startsWith(collection) ? path.slice(collection.length) : '';
    const parameter = parameters.find((each) => each.in === 'path' && rest.startsWith(`{${each.name}}`));
    if (parameter) ui.specActions.changeParam([path, method], parameter.name, 'path', id, false);
  }
}

function showPage(spec, onReply) {
  return window.SwaggerUIBundle({
    spec,
    dom_id: '#api',
    deepLinking: true,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    defaultModelsExpandDepth: 0,
    // Swagger UI asks no other server.
    validatorUrl: null,
    responseInterceptor: onReply,
  });
}

function showSession(session, ui, name) {
  const loggedIn = session.accessToken !== undefined;
  byId('login').hidden = loggedIn;
  byId('logged-in').hidden = !loggedIn;
  byId('who').textContent = name || '';
  if (loggedIn) ui.preauthorizeApiKey('bearer', session.accessToken);
  else ui.authActions.logout(['bearer']);
}

async function greet(session, ui, operations) {
  showSession(session, ui, '…');
  if (!operations.has('UserService_GetCurrentUser')) return;
  const user = await session.call('UserService_GetCurrentUser');
  showSession(session, ui, user.displayName);
  fillIn(ui, operations, `${operations.get('UserService_CreateUser').path}/${user.id}`);
}

function say(text, isError) {
  byId('note').textContent = text;
  byId('note').classList.toggle('is-error', Boolean(isError));
}

async function run(action) {
  say('');
  try {
    await action();
  } catch (error) {
    say(error.message, true);
  }
}

function connectForms(session) {
  byId('login').addEventListener('submit', (event) => {
    event.preventDefault();
    const { email, password } = event.target.elements;
    run(async () => {
      await session.login(email.value, password.value);
      password.value = '';
    });
  });
  byId('logout').addEventListener('click', () => run(() => session.logout()));
}

async function start() {
  const spec = await (await fetch('/openapi.json')).json();
  const operations = indexOperations(spec);
  document.title = spec.info.title;
  const ui = showPage(spec, (reply) => {
    const location = reply.headers && reply.headers.location;
    if (reply.status === 201 && location) fillIn(ui, operations, location);
    return reply;
  });
  if (!operations.has('AuthService_Login')) return;
  const session = new Session(operations, () =>
    session.accessToken === undefined ? showSession(session, ui) : run(() => greet(session, ui, operations)));
  byId('session').hidden = false;
  connectForms(session);
  await session.resume();
}

window.addEventListener('load', start);
