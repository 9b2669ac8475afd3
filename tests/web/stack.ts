// Where the stack under test is, and what its OpenAPI document says.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export const URL_OF_STACK = process.env["BULKHEAD_URL"] ?? "";
if (URL_OF_STACK === "") throw new Error("BULKHEAD_URL must name a running stack; make test ONLY=web starts one");

export const PASSWORD = "correct horse battery staple";

// An e-mail address that no other test uses.
export const freshEmail = (): string => `ada-${process.pid}-${process.hrtime.bigint()}@example.com`;

// Makes an account of the name Ada Lovelace.
export async function signUp(email: string): Promise<void> {
  const reply = await fetch(`${URL_OF_STACK}/v1/users`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ email, password: PASSWORD, displayName: "Ada Lovelace" }),
  });
  assert.equal(reply.status, 201, await reply.text());
}

interface Mail {
  to: { address: string }[];
  subject: string;
  text: string;
}

// Waits for the mail to an address with this subject, and returns the link that it holds.
export async function linkInMail(email: string, subject: string): Promise<string> {
  const catcher = process.env["BULKHEAD_MAIL_URL"] ?? "";
  assert.notEqual(catcher, "", "BULKHEAD_MAIL_URL must name the mail catcher of the stack");
  for (const end = Date.now() + 60_000; Date.now() < end; await new Promise((next) => setTimeout(next, 100))) {
    const mails = (await (await fetch(`${catcher}/email`)).json()) as Mail[];
    const mail = mails.find(({ to, subject: about }) => to[0]?.address === email && about === subject);
    const link = /https?:\S+#\S+/.exec(mail?.text ?? "")?.[0];
    if (link !== undefined) return link;
  }
  throw new Error(`no mail "${subject}" with a link has come to ${email}`);
}

export interface Operation {
  responses: Record<string, unknown>;
}

export interface Document {
  paths: Record<string, Record<string, Operation>>;
  [key: string]: unknown;
}

export const DOCUMENT_FILE = "openapi.json";
export const document = JSON.parse(readFileSync(DOCUMENT_FILE, "utf8")) as Document;
