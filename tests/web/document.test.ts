// The OpenAPI document pleases the linters that people run on it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { DOCUMENT_FILE } from "./stack.js";

function run(tool: string, ...args: string[]): { status: number | null; output: string } {
  const env = { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true", FORCE_COLOR: "0" };
  const result = spawnSync(`node_modules/.bin/${tool}`, args, { encoding: "utf8", env, timeout: 180_000 });
  return { status: result.status, output: result.stdout + result.stderr };
}

test("redocly has neither errors nor warnings", () => {
  const result = run("redocly", "lint", "--config", "redocly.yaml", "--max-problems", "50", DOCUMENT_FILE);
  assert.equal(result.status, 0, result.output);
  assert.doesNotMatch(result.output, /You have \d+ (warning|error)/, result.output);
});

test("spectral has neither errors nor warnings", () => {
  const result = run("spectral", "lint", "--ruleset", "spectral.yaml", "--fail-severity", "hint", DOCUMENT_FILE);
  assert.equal(result.status, 0, result.output);
  assert.match(result.output, /No results/, result.output);
});
