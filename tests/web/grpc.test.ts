// Calls of gRPC by grpc-js, which reads the contracts themselves: the messages, the statuses and what goes with them.
import assert from "node:assert/strict";
import { connect } from "node:http2";
import { after, before, test } from "node:test";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { freshEmail, PASSWORD, signUp } from "./stack.js";

const ADDRESS = process.env["BULKHEAD_GRPC_ADDRESS"] ?? "";
const CONTRACTS = "../../proto";

type Message = Record<string, unknown>;
type Client = grpc.Client & Record<string, grpc.ClientUnaryCall & ((...args: unknown[]) => unknown)>;

const suite = grpc.loadPackageDefinition(
  loadSync(["auth/v1/auth.proto", "item/v1/item.proto"], {
    includeDirs: [CONTRACTS, "/usr/include"],
    longs: String,
    enums: String,
  }),
) as unknown as Record<string, { v1: Record<string, grpc.ServiceClientConstructor> }>;

function clientOf(service: string, options: grpc.ClientOptions = {}): Client {
  const [name = "", type = ""] = service.split(".");
  const constructor = suite[name]?.v1[type];
  assert.ok(constructor, service);
  return new constructor(ADDRESS, grpc.credentials.createInsecure(), options) as unknown as Client;
}

const auth = clientOf("auth.AuthService");
const items = clientOf("item.ItemService");
const metadata = new grpc.Metadata();

interface Answer {
  message: Message;
  status: grpc.StatusObject;
}

// Calls a method, and brings the answer with its status; fails as the call does.
function call(client: Client, method: string, request: Message, options: grpc.CallOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let message: Message = {};
    const made = (client[method] as (...args: unknown[]) => grpc.ClientUnaryCall).call(
      client,
      request,
      metadata,
      options,
      (error: grpc.ServiceError | null, answer: Message) => {
        if (error !== null) reject(error);
        message = answer;
      },
    );
    made.on("status", (status) => resolve({ message, status }));
  });
}

async function failureOf(client: Client, method: string, request: Message, options?: grpc.CallOptions) {
  try {
    await call(client, method, request, options);
  } catch (error) {
    return error as grpc.ServiceError;
  }
  return assert.fail(`${method} did not fail`);
}

// The text of the details; their types and texts stand in it as they are.
const detailsOf = (error: grpc.StatusObject): string =>
  error.metadata.get("grpc-status-details-bin").map((value) => Buffer.from(value as Buffer).toString("latin1")).join();

before(async () => {
  const email = freshEmail();
  await signUp(email);
  const { message } = await call(auth, "Login", { email, password: PASSWORD });
  metadata.set("authorization", `Bearer ${String(message["accessToken"])}`);
});

after(() => {
  auth.close();
  items.close();
});

test("an item is made, read, changed and deleted", async () => {
  const made = (await call(items, "CreateItem", { item: { sku: "GRPC-1", name: "Desk lamp", quantity: 3 } })).message;
  assert.equal(made["name"], "Desk lamp");
  const id = made["id"] as string;
  const read = await call(items, "GetItem", { id });
  assert.deepEqual(read.message, made);
  assert.equal(read.status.code, grpc.status.OK);
  const changed = await call(items, "UpdateItem", {
    item: { id, name: "Floor lamp", ownerId: "01936b5e-7c1a-7d3e-9f00-000000000001" },
    updateMask: { paths: ["name"] },
  });
  assert.equal(changed.message["name"], "Floor lamp");
  assert.equal(changed.message["ownerId"], made["ownerId"], "only the service says whose an item is");
  await call(items, "DeleteItem", { id });
  const error = await failureOf(items, "GetItem", { id });
  assert.equal(error.code, grpc.status.NOT_FOUND);
  assert.match(error.details, /there is no item/);
  assert.match(detailsOf(error), /google\.rpc\.ErrorInfo.*ITEM_NOT_FOUND.*bulkhead/s);
});

test("a request that breaks rules is refused with the fields", async () => {
  const error = await failureOf(items, "CreateItem", { item: { name: "" } });
  assert.equal(error.code, grpc.status.INVALID_ARGUMENT);
  assert.match(detailsOf(error), /google\.rpc\.BadRequest.*sku.*is required/s);
});

test("without a token the caller is unauthenticated", async () => {
  const token = metadata.get("authorization");
  metadata.remove("authorization");
  const error = await failureOf(items, "ListItems", {});
  metadata.set("authorization", token[0] as string);
  assert.equal(error.code, grpc.status.UNAUTHENTICATED);
  assert.match(detailsOf(error), /TOKEN_MISSING/);
});

test("a deadline that has passed is told as such", async () => {
  const error = await failureOf(items, "ListItems", {}, { deadline: Date.now() });
  assert.equal(error.code, grpc.status.DEADLINE_EXCEEDED);
});

test("a method that is not in the contracts is unimplemented", async () => {
  const error = await new Promise<grpc.ServiceError>((resolve) =>
    items.makeUnaryRequest(
      "/item.v1.ItemService/None",
      () => Buffer.alloc(0),
      (bytes) => bytes,
      null,
      (failure) => resolve(failure as grpc.ServiceError),
    ),
  );
  assert.equal(error.code, grpc.status.UNIMPLEMENTED);
  assert.match(error.details, /there is no such method/);
});

test("compressed messages are taken", async () => {
  const compressing = clientOf("item.ItemService", {
    "grpc.default_compression_algorithm": grpc.compressionAlgorithms.gzip,
  });
  const description = "lamp ".repeat(1000);
  const { message } = await call(compressing, "CreateItem", { item: { sku: "GRPC-2", name: "Desk lamp", description } });
  assert.equal(message["description"], description);
  compressing.close();
});

test("a message that is larger than the method takes is refused", async () => {
  const error = await failureOf(items, "CreateItem", { item: { sku: "GRPC-3", name: "a".repeat(1 << 20) } });
  assert.equal(error.code, grpc.status.RESOURCE_EXHAUSTED);
  assert.match(error.details, /524288 bytes at most/);
});

test("a body that announces too much is refused before it comes", async () => {
  const session = connect(`http://${ADDRESS}`);
  const request = session.request({
    ":method": "POST",
    ":path": "/item.v1.ItemService/GetItem",
    "content-type": "application/grpc",
    "content-length": 5 << 20,
    authorization: String(metadata.get("authorization")[0]),
  });
  const headers = await new Promise<Record<string, unknown>>((resolve, reject) => {
    request.on("response", (found) => resolve(found));
    request.on("error", reject);
  });
  request.destroy();
  session.destroy();
  assert.equal(headers[":status"], 200);
  assert.equal(headers["grpc-status"], "8");
});

test("many calls at once over one connection are all answered", async () => {
  const lists = await Promise.all(Array.from({ length: 200 }, () => call(items, "ListItems", { pageSize: 1 })));
  assert.equal(lists.length, 200);
});

// ---- streams ----

const watchItems = (request: Message, options: grpc.CallOptions = {}): grpc.ClientReadableStream<Message> =>
  (items["WatchItems"] as (...args: unknown[]) => grpc.ClientReadableStream<Message>).call(
    items,
    request,
    metadata,
    options,
  );

// Reads messages until one is of the kind; fails as the stream does.
async function messageOf(stream: grpc.ClientReadableStream<Message>, kind: string): Promise<Message> {
  for await (const message of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Message>)
    if ((message["kind"] ?? "ITEM_CHANGE_KIND_NONE") === `ITEM_CHANGE_KIND_${kind}`) return message;
  return assert.fail("the stream has ended");
}

const endOf = (stream: grpc.ClientReadableStream<Message>): Promise<grpc.StatusObject> =>
  new Promise((resolve) => {
    stream.on("error", () => {});
    stream.on("status", resolve);
    stream.resume();
  });

test("a server stream brings messages as they come, and goes on where it was left", async () => {
  const tag = `grpc-${process.hrtime.bigint()}`;
  const stream = watchItems({ tag });
  await messageOf(stream, "NONE");
  const first = (await call(items, "CreateItem", { item: { sku: `${tag}-1`, name: "Lamp", tags: [tag] } })).message;
  const change = await messageOf(stream, "CREATED");
  assert.equal((change["item"] as Message)["id"], first["id"]);
  stream.on("error", () => {});
  stream.cancel();
  const second = (await call(items, "CreateItem", { item: { sku: `${tag}-2`, name: "Lamp", tags: [tag] } })).message;
  const resumed = watchItems({ tag, resumeToken: change["resumeToken"] });
  assert.equal(((await messageOf(resumed, "CREATED"))["item"] as Message)["id"], second["id"]);
  resumed.on("error", () => {});
  resumed.cancel();
});

test("a server stream that cannot begin has the status of it", async () => {
  const wrong = await endOf(watchItems({ resumeToken: "nonsense" }));
  assert.equal(wrong.code, grpc.status.INVALID_ARGUMENT);
  assert.match(detailsOf(wrong), /INVALID_RESUME_TOKEN/);
  const late = await endOf(watchItems({}, { deadline: Date.now() }));
  assert.equal(late.code, grpc.status.DEADLINE_EXCEEDED);
});

// Imports items from a stream; `write` writes them.
function importItems(write: (stream: grpc.ClientWritableStream<Message>) => void): Promise<Message> {
  return new Promise((resolve, reject) => {
    const stream = (items["ImportItems"] as (...args: unknown[]) => grpc.ClientWritableStream<Message>).call(
      items,
      metadata,
      (error: grpc.ServiceError | null, answer: Message) => (error === null ? resolve(answer) : reject(error)),
    );
    write(stream);
  });
}

test("a client stream is taken while it comes", async () => {
  const sku = `grpc-${process.hrtime.bigint()}`;
  const count = 20_000;
  const answer = await importItems((stream) => {
    let next = 0;
    const writeSome = (): void => {
      while (next < count) if (!stream.write({ sku: `${sku}-${next++}`, name: "Lamp" })) return void stream.once("drain", writeSome);
      stream.end();
    };
    writeSome();
  });
  assert.deepEqual([answer["lines"], answer["created"]], [`${count}`, `${count}`]);
  const again = await importItems((stream) => {
    stream.write({ sku: `${sku}-0`, name: "Lamp" });
    stream.end();
  });
  assert.deepEqual(again["failures"], [
    { line: "1", code: "ALREADY_EXISTS", reason: "SKU_TAKEN", field: "sku", message: "another item of yours has this sku" },
  ]);
});

test("a client stream without a message, and one that its client gives up, leave nothing behind", async () => {
  assert.equal((await importItems((stream) => stream.end()))["lines"] ?? "0", "0");
  await assert.rejects(
    importItems((stream) => {
      stream.write({ sku: "given-up", name: "Lamp" });
      stream.cancel();
    }),
    { code: grpc.status.CANCELLED },
  );
});
