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
const detailsOf = (error: grpc.ServiceError): string =>
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
