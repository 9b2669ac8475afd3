// Holds every reply that the typed client receives against the OpenAPI document: the status must be documented, the body
// must keep its schema, and the reason of a problem must be one of the examples.
import assert from "node:assert/strict";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import type { Middleware } from "openapi-fetch";
import { document } from "./stack.js";

const ajv = new Ajv2020({ strict: false, allErrors: true, logger: false });
addFormats.default(ajv);
ajv.addSchema(document, "api");

type Json = Record<string, unknown>;

const escapeKey = (key: string): string => encodeURIComponent(key.replaceAll("~", "~0").replaceAll("/", "~1"));

function valueAt(pointer: string): Json | undefined {
  let value: unknown = document;
  for (const key of pointer.slice(2).split("/"))
    value = (value as Json | undefined)?.[decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~")];
  return value as Json | undefined;
}

// The place of a response in the document, references followed.
function findResponse(path: string, method: string, status: number): string {
  const pointer = `#/paths/${escapeKey(path)}/${method.toLowerCase()}/responses/${status}`;
  const response = valueAt(pointer);
  assert.ok(response, `${method} ${path} answered ${status}, which the document does not list`);
  return typeof response["$ref"] === "string" ? response["$ref"] : pointer;
}

async function check(path: string, request: Request, response: Response): Promise<void> {
  const place = findResponse(path, request.method, response.status);
  const content = valueAt(place)?.["content"] as Json | undefined;
  const what = `${request.method} ${path} ${response.status}`;
  if (content === undefined) {
    assert.equal((await response.text()).length, 0, `${what} has a body`);
    return;
  }
  const type = response.headers.get("content-type")?.split(";")[0] ?? "";
  const media = content[type] as Json | undefined;
  assert.ok(media, `${what} is of type "${type}"`);
  const body: unknown = await response.json();
  const validate = ajv.compile({ $ref: `api${place}/content/${escapeKey(type)}/schema` });
  assert.ok(validate(body), `${what}: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(body)}`);
  const { reason } = body as { reason?: string };
  if (type === "application/problem+json" && reason !== undefined)
    assert.ok(reason in (media["examples"] as Json), `${what} has the undocumented reason ${reason}`);
}

export const conformance: Middleware = {
  async onResponse({ schemaPath, request, response }) {
    await check(schemaPath, request, response.clone());
    return undefined;
  },
};
