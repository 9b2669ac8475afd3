// Calls of Connect, gRPC-Web and gRPC by the clients that people use: those of Connect for Node and for browsers, grpc-web as
// browsers load it, and buf's curl.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { before, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import * as node from "@connectrpc/connect-node";
import * as web from "@connectrpc/connect-web";
import { methodOf, PROTOSET, serviceOf } from "./rpc_messages.js";
import { freshEmail, PASSWORD, signUp, URL_OF_STACK } from "./stack.js";

const ADDRESS = process.env["BULKHEAD_GRPC_ADDRESS"] ?? "";
const ITEMS = "item.v1.ItemService";

type Message = Record<string, unknown>;
type Call = (request: Message, options?: Message) => Promise<Message>;
type Client = Record<string, Call>;

let token = "";
const withToken = { headers: {} as Record<string, string> };

const HTTP_1 = { baseUrl: URL_OF_STACK, httpVersion: "1.1" } as const;
const HTTP_2 = { baseUrl: `http://${ADDRESS}`, httpVersion: "2" } as const;
const TRANSPORTS: Record<string, Transport> = {
  "Connect for Node, protobuf, HTTP/1.1": node.createConnectTransport({ ...HTTP_1, useBinaryFormat: true }),
  "Connect for Node, JSON, HTTP/1.1": node.createConnectTransport({ ...HTTP_1, useBinaryFormat: false }),
  "Connect for Node, protobuf, HTTP/2": node.createConnectTransport({ ...HTTP_2, useBinaryFormat: true }),
  "Connect for Node, JSON compressed": node.createConnectTransport({
    ...HTTP_1,
    useBinaryFormat: false,
    sendCompression: node.compressionGzip,
    compressMinBytes: 0,
  }),
  "Connect for Node, GET of protobuf": node.createConnectTransport({ ...HTTP_1, useBinaryFormat: true, useHttpGet: true }),
  "Connect for browsers, JSON": web.createConnectTransport({ baseUrl: URL_OF_STACK }),
  "Connect for browsers, GET of JSON": web.createConnectTransport({ baseUrl: URL_OF_STACK, useHttpGet: true }),
  "gRPC-Web of Connect for Node": node.createGrpcWebTransport(HTTP_1),
  "gRPC-Web of Connect for Node, HTTP/2, compressed": node.createGrpcWebTransport({
    ...HTTP_2,
    sendCompression: node.compressionGzip,
    compressMinBytes: 0,
  }),
  "gRPC-Web of Connect for browsers": web.createGrpcWebTransport({ baseUrl: URL_OF_STACK }),
  "gRPC of Connect for Node": node.createGrpcTransport({ baseUrl: `http://${ADDRESS}` }),
};

const clientOf = (service: string, transport: Transport): Client =>
  createClient(serviceOf(service), transport) as unknown as Client;

async function failureOf(call: Promise<unknown>): Promise<ConnectError> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof ConnectError, String(error));
    return error;
  }
  return assert.fail("the call did not fail");
}

let made = 0;
const freshSku = (): string => `RPC-${(made += 1)}`;

// The bytes of the details of one type; texts stand in them as they are.
const detailOf = (error: ConnectError, type: string): string =>
  error.details
    .map((detail) => ("type" in detail && detail.type === type ? Buffer.from(detail.value).toString("latin1") : ""))
    .join("");

before(async () => {
  const email = freshEmail();
  await signUp(email);
  const transport = node.createConnectTransport({ ...HTTP_1, useBinaryFormat: true });
  const answer = await clientOf("auth.v1.AuthService", transport)["login"]?.({ email, password: PASSWORD });
  token = String(answer?.["accessToken"]);
  withToken.headers["authorization"] = `Bearer ${token}`;
});

for (const [name, transport] of Object.entries(TRANSPORTS)) {
  const items = clientOf(ITEMS, transport);
  const call = (method: string, request: Message, options: Message = withToken): Promise<Message> =>
    (items[method] as Call)(request, options);

  test(`${name}: an item is made, read, changed and deleted`, async () => {
    const item = await call("createItem", { item: { sku: freshSku(), name: "Desk lamp", quantity: 3 } });
    const id = item["id"] as string;
    assert.equal(item["name"], "Desk lamp");
    assert.deepEqual(await call("getItem", { id }), item);
    const changed = await call("updateItem", { item: { id, name: "Floor lamp" }, updateMask: { paths: ["name"] } });
    assert.equal(changed["name"], "Floor lamp");
    assert.equal(changed["quantity"], item["quantity"], "only what the mask names is changed");
    await call("deleteItem", { id });
    const error = await failureOf(call("getItem", { id }));
    assert.equal(error.code, Code.NotFound);
    assert.match(error.rawMessage, /there is no item/);
    assert.match(detailOf(error, "google.rpc.ErrorInfo"), /ITEM_NOT_FOUND.*bulkhead/s);
  });

  test(`${name}: a request that breaks rules is refused with the fields`, async () => {
    const error = await failureOf(call("createItem", { item: { name: "" } }));
    assert.equal(error.code, Code.InvalidArgument);
    assert.match(detailOf(error, "google.rpc.BadRequest"), /sku.*is required/s);
  });

  test(`${name}: without a token the caller is unauthenticated`, async () => {
    const error = await failureOf(call("listItems", {}, {}));
    assert.equal(error.code, Code.Unauthenticated);
    assert.match(detailOf(error, "google.rpc.ErrorInfo"), /TOKEN_MISSING/);
  });

  test(`${name}: a time limit goes with the call`, async () => {
    const answer = await call("listItems", { pageSize: 1 }, { ...withToken, timeoutMs: 30_000 });
    assert.ok(Array.isArray(answer["items"]));
  });

  test(`${name}: a message that is larger than the method takes is refused`, async () => {
    // Compressed, it would be small.
    const name = Array.from({ length: 1 << 17 }, () => Math.random().toString(36).slice(2)).join("");
    const error = await failureOf(call("createItem", { item: { sku: freshSku(), name } }));
    assert.equal(error.code, Code.ResourceExhausted);
    assert.match(error.rawMessage, /bytes at most/);
  });
}

// ---- health ----

const SERVING = 1;

for (const [name, transport] of Object.entries(TRANSPORTS)) {
  test(`${name}: the gateway tells its health`, async () => {
    const health = clientOf("grpc.health.v1.Health", transport);
    assert.equal((await health["check"]?.({}))?.["status"], SERVING);
    assert.equal((await health["check"]?.({ service: ITEMS }))?.["status"], SERVING);
    const error = await failureOf((health["check"] as Call)({ service: "none" }));
    assert.equal(error.code, Code.NotFound);
  });
}

type Watch = (request: Message, options: Message) => AsyncIterable<Message>;

for (const [name, transport] of Object.entries(TRANSPORTS)) {
  test(`${name}: health may be watched`, async () => {
    const watch = clientOf("grpc.health.v1.Health", transport)["watch"] as unknown as Watch;
    const stop = new AbortController();
    for await (const answer of watch({ service: ITEMS }, { signal: stop.signal })) {
      assert.equal(answer["status"], SERVING);
      break;
    }
    stop.abort();
  });
}

// ---- streams ----

const NONE = 0;
const CREATED = 1;

for (const [name, transport] of Object.entries(TRANSPORTS)) {
  const items = clientOf(ITEMS, transport);
  const watchItems = items["watchItems"] as unknown as Watch;

  test(`${name}: a server stream brings messages as they come`, async () => {
    const tag = `rpc-${process.hrtime.bigint()}`;
    const sku = freshSku();
    const stop = new AbortController();
    const kinds: unknown[] = [];
    for await (const message of watchItems({ tag }, { ...withToken, signal: stop.signal })) {
      kinds.push(message["kind"]);
      assert.notEqual(message["resumeToken"], "");
      if (kinds.length === 1) await items["createItem"]?.({ item: { sku, name: "Lamp", tags: [tag] } }, withToken);
      if (message["kind"] !== CREATED) continue;
      assert.equal((message["item"] as Message)["sku"], sku);
      break;
    }
    stop.abort();
    assert.equal(kinds[0], NONE);
    assert.equal(kinds.at(-1), CREATED);
  });

  test(`${name}: a server stream that cannot begin says why`, async () => {
    const read = async (request: Message, options: Message): Promise<void> => {
      for await (const message of watchItems(request, options)) assert.fail(JSON.stringify(message["kind"]));
    };
    const wrong = await failureOf(read({ resumeToken: "nonsense" }, withToken));
    assert.equal(wrong.code, Code.InvalidArgument);
    assert.match(detailOf(wrong, "google.rpc.ErrorInfo"), /INVALID_RESUME_TOKEN/);
    const unknown = await failureOf(read({}, {}));
    assert.equal(unknown.code, Code.Unauthenticated);
    assert.match(detailOf(unknown, "google.rpc.ErrorInfo"), /TOKEN_MISSING/);
  });
}

// Browsers have no stream of their own, and gRPC-Web has none of a client.
const CLIENT_STREAMS: Record<string, Transport> = {
  "Connect for Node, JSON, HTTP/2, compressed": node.createConnectTransport({
    ...HTTP_2,
    useBinaryFormat: false,
    sendCompression: node.compressionGzip,
    compressMinBytes: 0,
  }),
};
for (const name of Object.keys(TRANSPORTS).filter((one) => /^(Connect|gRPC of Connect) for Node/.test(one)))
  CLIENT_STREAMS[name.replace("gRPC of Connect for Node", "Connect's gRPC")] = TRANSPORTS[name] as Transport;

for (const [name, transport] of Object.entries(CLIENT_STREAMS)) {
  type Import = (messages: AsyncIterable<Message>, options: Message) => Promise<Message>;
  const importItems = clientOf(ITEMS, transport)["importItems"] as unknown as Import;

  test(`${name}: a client stream is taken while it comes`, async () => {
    const sku = freshSku();
    const count = 2_000;
    async function* messages(): AsyncIterable<Message> {
      for (let i = 0; i < count; i++) yield { sku: `${sku}-${i}`, name: "Lamp" };
    }
    const answer = await importItems(messages(), withToken);
    assert.deepEqual([answer["lines"], answer["created"]], [BigInt(count), BigInt(count)]);
    async function* again(): AsyncIterable<Message> {
      yield { sku: `${sku}-0`, name: "Lamp" };
    }
    const failures = (await importItems(again(), withToken))["failures"] as Message[];
    assert.deepEqual(
      failures.map((failure) => failure["reason"]),
      ["SKU_TAKEN"],
    );
  });
}

// ---- grpc-web ----

const require = createRequire(import.meta.url);
(globalThis as Message)["XMLHttpRequest"] = require("xhr2");
const grpcWeb = require("grpc-web") as {
  GrpcWebClientBase: new (options: Message) => {
    thenableCall(url: string, request: unknown, metadata: Message, method: unknown): Promise<Message>;
  };
  MethodDescriptor: new (...parts: unknown[]) => unknown;
  MethodType: { UNARY: string };
};

// Calls a method as the code does that grpc-web's generator makes.
function callOfGrpcWeb(format: string, name: string, request: Message, metadata: Message): Promise<Message> {
  const method = methodOf(ITEMS, name);
  const descriptor = new grpcWeb.MethodDescriptor(
    `/${ITEMS}/${name}`,
    grpcWeb.MethodType.UNARY,
    Object,
    Object,
    (message: Message) => toBinary(method.input, create(method.input, message)),
    (bytes: Uint8Array) => fromBinary(method.output, bytes),
  );
  const client = new grpcWeb.GrpcWebClientBase({ format, suppressCorsPreflight: false });
  return client.thenableCall(`${URL_OF_STACK}/${ITEMS}/${name}`, request, metadata, descriptor);
}

for (const format of ["binary", "text"]) {
  test(`grpc-web, ${format}: an item is made and read`, async () => {
    const metadata = { authorization: `Bearer ${token}` };
    const item = await callOfGrpcWeb(format, "CreateItem", { item: { sku: freshSku(), name: "Desk lamp" } }, metadata);
    assert.equal(item["name"], "Desk lamp");
    const read = await callOfGrpcWeb(format, "GetItem", { id: item["id"] }, metadata);
    assert.deepEqual(read, item);
  });

  test(`grpc-web, ${format}: a failure has its code, words and details`, async () => {
    const id = "01936b5e-7c1a-7d3e-9f00-1c2d3e4f5a6b";
    const error = await callOfGrpcWeb(format, "GetItem", { id }, {}).catch((found: unknown) => found as Message);
    assert.equal(error["code"], 16);
    assert.match(String(error["message"]), /token/);
    const details = (error["metadata"] as Message)["grpc-status-details-bin"];
    assert.match(Buffer.from(String(details), "base64").toString("latin1"), /TOKEN_MISSING/);
  });
}

// ---- buf curl ----

const BUF = `node_modules/@bufbuild/buf-linux-${process.arch === "arm64" ? "aarch64" : "x64"}/bin/buf`;

function buf(args: string[]): Promise<{ code: number | null; out: string; words: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(BUF, ["curl", ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let words = "";
    child.stdout.on("data", (bytes) => (out += String(bytes)));
    child.stderr.on("data", (bytes) => (words += String(bytes)));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, words }));
  });
}

const PROTOCOLS: Record<string, string[]> = {
  connect: ["--protocol", "connect"],
  grpcweb: ["--protocol", "grpcweb"],
  grpc: ["--protocol", "grpc", "--http2-prior-knowledge"],
};

for (const [protocol, args] of Object.entries(PROTOCOLS)) {
  const url = protocol === "grpc" ? `http://${ADDRESS}` : URL_OF_STACK;
  const withContracts = ["--schema", `${PROTOSET}#format=binpb`, ...args];

  test(`buf curl, ${protocol}: a method is called`, async () => {
    const item = await buf([
      ...withContracts,
      ...["-H", `authorization: Bearer ${token}`],
      ...["-d", JSON.stringify({ item: { sku: freshSku(), name: "Desk lamp" } })],
      `${url}/${ITEMS}/CreateItem`,
    ]);
    assert.equal(item.code, 0, item.words);
    assert.equal((JSON.parse(item.out) as Message)["name"], "Desk lamp");
  });

  if (protocol === "grpc")
    test("buf curl, grpc: without contracts it asks for them", async () => {
      const list = await buf([...args, "-H", `authorization: Bearer ${token}`, "-d", "{}", `${url}/${ITEMS}/ListItems`]);
      assert.equal(list.code, 0, list.words);
      assert.ok(Array.isArray((JSON.parse(list.out) as Message)["items"]));
      const services = await buf([...args, "--list-services", url]);
      assert.match(services.out, /item\.v1\.ItemService/);
      assert.doesNotMatch(services.out, /RateLimitService/);
    });

  test(`buf curl, ${protocol}: a failure is told`, async () => {
    const failed = await buf([...withContracts, "-d", "{}", `${url}/${ITEMS}/ListItems`]);
    assert.notEqual(failed.code, 0);
    assert.match(failed.words + failed.out, /unauthenticated/);
  });
}
