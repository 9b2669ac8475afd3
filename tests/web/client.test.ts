// A client that openapi-typescript generates from the document, from sign-up to the deletion of the account. That this file
// compiles is a test of its own: the client reads without a check what the API always sends.
import assert from "node:assert/strict";
import { before, test } from "node:test";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";
import { conformance } from "./conformance.js";
import { freshEmail, PASSWORD, URL_OF_STACK } from "./stack.js";

// ---- types ----

type Schemas = components["schemas"];
type OptionalKeys<T> = { [K in keyof T]-?: object extends Pick<T, K> ? K : never }[keyof T];
type Equal<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
const holds = <T extends true>(): T | undefined => undefined;

holds<Equal<OptionalKeys<Schemas["item.v1.Item"]>, "category" | "price" | "currency" | "attributes">>();
holds<Equal<OptionalKeys<Schemas["user.v1.User"]>, "suspendTime">>();
holds<Equal<OptionalKeys<Schemas["item.v1.ListItemsResponse"]>, never>>();
holds<Equal<OptionalKeys<Schemas["auth.v1.TokenResponse"]>, "deviceToken">>();
holds<Equal<Exclude<keyof Schemas["auth.v1.TokenResponse"], OptionalKeys<Schemas["auth.v1.LoginResponse"]>>, never>>();
holds<Equal<OptionalKeys<Schemas["Problem"]>, "violations">>();
holds<Equal<OptionalKeys<Schemas["auth.v1.CreateApiKeyResponse"]>, "expireTime">>();
holds<Equal<OptionalKeys<Schemas["auth.v1.ApiKey"]>, "expireTime" | "lastUseTime">>();
holds<Equal<OptionalKeys<Schemas["auth.v1.AuditEvent"]>, "actorId" | "userId" | "sessionId">>();
holds<Equal<OptionalKeys<Schemas["auth.v1.Role"]>, "createTime" | "updateTime">>();
holds<Equal<OptionalKeys<Schemas["auth.v1.PasskeyCreationOptions"]>, never>>();
holds<Equal<OptionalKeys<Schemas["user.v1.UserExport"]>, never>>();
holds<Equal<OptionalKeys<Schemas["user.v1.CreateUserRequest"]>, never>>();
holds<Equal<Exclude<keyof Schemas["item.v1.ItemCreate"], OptionalKeys<Schemas["item.v1.ItemCreate"]>>, "sku" | "name">>();
holds<Equal<OptionalKeys<Schemas["item.v1.ItemUpdate"]>, keyof Schemas["item.v1.ItemUpdate"]>>();
holds<Equal<Extract<keyof Schemas["item.v1.ItemCreate"], "id" | "ownerId" | "etag" | "createTime">, never>>();

// ---- one life of an account ----

const email = freshEmail();
const anonymous = createClient<paths>({ baseUrl: URL_OF_STACK });
anonymous.use(conformance);
const client = createClient<paths>({ baseUrl: URL_OF_STACK });
client.use(conformance);

let user: Schemas["user.v1.User"];
let tokens: Schemas["auth.v1.TokenResponse"];

function logIn(password: string) {
  return anonymous.POST("/v1/auth/login", { body: { email, password } });
}

async function createItem(sku: string): Promise<Schemas["item.v1.Item"]> {
  const { data, response } = await client.POST("/v1/items", {
    body: { sku, name: "Desk lamp", tags: ["brass"], quantity: 3, attributes: { colour: "brass", weight: 3 } },
  });
  assert.equal(response.status, 201);
  assert.ok(data);
  assert.equal(response.headers.get("location"), `/v1/items/${data.id}`);
  return data;
}

before(async () => {
  const signUp = await anonymous.POST("/v1/users", { body: { email, password: PASSWORD, displayName: "Ada" } });
  assert.ok(signUp.data);
  user = signUp.data;
  const login = await logIn(PASSWORD);
  assert.ok(login.data);
  // The account has no second factor, so the answer has all tokens.
  tokens = login.data as Schemas["auth.v1.TokenResponse"];
  const header = `${tokens.tokenType} ${tokens.accessToken}`;
  client.use({ onRequest: ({ request }) => (request.headers.set("authorization", header), request) });
});

test("an address signs up once", async () => {
  const { error, response } = await anonymous.POST("/v1/users", {
    body: { email, password: PASSWORD, displayName: "Ada" },
  });
  assert.equal(response.status, 409);
  assert.equal(error?.reason, "EMAIL_TAKEN");
});

test("a wrong password is refused", async () => {
  const { error, response } = await logIn("not the password");
  assert.equal(response.status, 401);
  assert.equal(error?.reason, "WRONG_CREDENTIALS");
});

test("the caller's own account", async () => {
  const { data } = await client.GET("/v1/users/me");
  assert.equal(data?.id, user.id);
  assert.equal(data?.email, email);
});

test("what an account has besides its items", async () => {
  const made = await client.POST("/v1/apiKeys", { body: { name: "nightly import", scopes: ["items:read"] } });
  assert.equal(made.response.status, 201);
  const keys = await client.GET("/v1/apiKeys");
  assert.deepEqual(keys.data?.apiKeys.map((key) => key.id), [made.data?.id]);
  const options = await client.POST("/v1/auth/passkeys/register/begin", { body: {} });
  assert.equal(options.data?.user.name, email);
  assert.equal((await client.GET("/v1/auth/sessions")).data?.sessions.length, 1);
  assert.equal((await client.GET("/v1/auth/factors")).data?.factors.length, 0);
  assert.equal((await client.GET("/v1/users/me/export")).data?.account.id, user.id);
  // A failed login has neither an actor nor a session.
  assert.equal((await logIn("not the password")).response.status, 401);
  const events = await client.GET("/v1/users/me/auditEvents");
  const failed = events.data?.auditEvents.find((event) => event.result === "failure");
  assert.ok(failed);
  assert.equal(failed.reason, "WRONG_CREDENTIALS");
  assert.equal(failed.actorId, undefined);
  assert.equal(failed.sessionId, undefined);
});

test("an item is created, read, listed and changed", async () => {
  const item = await createItem("LAMP-1");
  const attributes: Record<string, unknown> | undefined = item.attributes;
  assert.deepEqual(attributes, { colour: "brass", weight: 3 });

  const path = { id: item.id };
  const read = await client.GET("/v1/items/{id}", { params: { path } });
  assert.deepEqual(read.data, item);
  const unchanged = await client.GET("/v1/items/{id}", { params: { path, header: { "If-None-Match": `"${item.etag}"` } } });
  assert.equal(unchanged.response.status, 304);

  const { data: page } = await client.GET("/v1/items", { params: { query: { ownerId: user.id, orderBy: "name asc" } } });
  assert.ok(page);
  assert.ok(page.items.some((each) => each.id === item.id && each.tags.includes("brass")));
  assert.equal(page.nextPageToken.length, 0);

  const header = { "If-Match": `"${item.etag}"` };
  const changed = await client.PATCH("/v1/items/{id}", { params: { path, header }, body: { quantity: 4 } });
  assert.equal(changed.data?.quantity, 4);
  assert.equal(changed.data?.name, "Desk lamp");
  const stale = await client.PATCH("/v1/items/{id}", { params: { path, header }, body: { quantity: 5 } });
  assert.equal(stale.response.status, 412);
  assert.equal(stale.error?.reason, "ETAG_MISMATCH");
});

test("a batch is all or nothing", async () => {
  const batch = { items: [{ sku: "BATCH-1", name: "One" }, { sku: "BATCH-2", name: "Two" }] };
  const first = await client.POST("/v1/items:batchCreate", { body: batch });
  assert.equal(first.data?.items.length, 2);
  const second = await client.POST("/v1/items:batchCreate", { body: batch });
  assert.equal(second.response.status, 409);
  assert.equal(second.error?.reason, "SKU_TAKEN");
});

test("what a client can do wrong is documented", async () => {
  const path = { id: "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b" };
  assert.equal((await client.GET("/v1/items/{id}", { params: { path } })).error?.reason, "ITEM_NOT_FOUND");
  assert.equal((await anonymous.GET("/v1/items/{id}", { params: { path } })).error?.reason, "TOKEN_MISSING");
  assert.equal((await client.GET("/v1/users")).error?.reason, "PERMISSION_REQUIRED");
  assert.equal((await client.GET("/v1/users/{id}", { params: { path } })).error?.reason, "NOT_YOUR_ACCOUNT");
  const body = { sku: "X", name: "y" };
  const plain = await client.POST("/v1/items", { body, headers: { "Content-Type": "text/plain" } });
  assert.equal(plain.response.status, 415);
  const large = await client.POST("/v1/items", { body: { ...body, description: "x".repeat(5 << 20) } });
  assert.equal(large.response.status, 413);
  const invalid = await client.POST("/v1/items", { body: { ...body, price: "cheap" } });
  assert.equal(invalid.error?.violations?.[0]?.field, "price");
});

test("an account ends with its tokens", async () => {
  const item = await createItem("LAMP-2");
  assert.equal((await client.DELETE("/v1/items/{id}", { params: { path: { id: item.id } } })).response.status, 204);
  assert.equal((await client.DELETE("/v1/users/{id}", { params: { path: { id: user.id } } })).response.status, 204);
  // Its sessions end a moment later, by a job.
  let refreshToken: string = tokens.refreshToken;
  for (;;) {
    const refresh = await anonymous.POST("/v1/auth/refresh", { body: { refreshToken } });
    if (refresh.data === undefined) {
      assert.equal(refresh.error?.reason, "INVALID_REFRESH_TOKEN");
      break;
    }
    refreshToken = refresh.data.refreshToken;
  }
});
