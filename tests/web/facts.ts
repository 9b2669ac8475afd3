// What the programs, their images, the contracts and the running stack say of themselves, for the manifests to be held against.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import type { Json } from "./kustomize.js";

export const ROOT = resolve("../..");
const variable = (name: string): string => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} must be that of a running stack; make test ONLY=web starts one`);
  return value;
};
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

export const SERVICES = readdirSync(join(ROOT, "services")).filter((name) =>
  existsSync(join(ROOT, "services", name, "main.c")),
);
export const PROGRAMS = ["gateway", ...SERVICES];
export const compose: Json = parse(read("docker-compose.yml"), { merge: true });
export const readme = read("deploy/k8s/README.md");

// ---- settings ----

const SETTINGS_SH = join(ROOT, "gateway/nginx/settings.sh");

const helps = new Map<string, string>();
function helpOf(service: string): string {
  const help =
    helps.get(service) ?? execFileSync(join(variable("BULKHEAD_BIN"), service), ["help"], { encoding: "utf8" });
  helps.set(service, help);
  return help;
}

function settingsOf(program: string): string[] {
  if (program === "gateway") {
    const script = '. "$0"; name() { echo "$1"; }; each_setting name';
    return execFileSync("sh", ["-c", script, SETTINGS_SH], { encoding: "utf8" }).trim().split("\n");
  }
  const help = helpOf(program);
  const names = help.slice(help.indexOf("\nSettings,")).match(/^[A-Z][A-Z0-9_]+$/gm) ?? [];
  return names.flatMap((name) => [name, `${name}_FILE`]);
}

export const settings = new Map(PROGRAMS.map((program) => [program, settingsOf(program)]));

export type Environment = Record<string, string>;

const CHECK_GATEWAY = ["-c", '. "$0"; warn_of_unknown_settings; check_gateway_settings', SETTINGS_SH];

// What a program says against an environment; nothing where it would start with it. A command has no more to complain of than that
// it finds no PostgreSQL.
function ask(program: string, command: string[], environment: Environment): string {
  const [file, args] =
    program === "gateway" ? ["sh", CHECK_GATEWAY] : [join(variable("BULKHEAD_BIN"), program), command];
  const run = spawnSync(file, args, { env: { PATH: variable("PATH"), ...environment }, encoding: "utf8" });
  const said = run.stderr
    .split("\n")
    .filter((line) => line !== "" && !line.includes('"level":"info"') && !line.includes("PostgreSQL: cannot connect"));
  return run.status === 0 || (run.status === 1 && command[0] !== "check-config")
    ? said.join()
    : `${said.join()} (${run.status})`;
}
const answers = new Map<string, string>();
export function complaintOf(program: string, command: string[], environment: Environment): string {
  const question = JSON.stringify([program, command, environment]);
  const answer = answers.get(question) ?? ask(program, command, environment);
  answers.set(question, answer);
  return answer;
}

// ---- images ----

const stages = new Map(
  read("deploy/docker/Dockerfile")
    .split(/^FROM /m)
    .slice(1)
    .map((text) => [/^.* AS ([a-z-]+)/.exec(text)?.[1] ?? "", text]),
);

// The instructions of an image of ours, those of the stage that it stands on first.
function instructionsOf(program: string): string {
  return `${stages.get("runtime")}\n${stages.get(program === "gateway" ? "gateway" : "service")}`;
}

export function userOf(program: string): { user: number; group: number } {
  const [, user, group] = /^USER (\d+):(\d+)$/m.exec(instructionsOf(program)) ?? [];
  return { user: Number(user), group: Number(group) };
}

export function environmentOf(program: string): Environment {
  const pairs = [...instructionsOf(program).matchAll(/^ENV (.*)$/gm)].flatMap((match) => (match[1] ?? "").split(" "));
  return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
}

// The folders that compose lets a program write to, which the test of compose proves to be enough.
export function writableOf(program: string): string[] {
  const { tmpfs = [], volumes = [] } = compose.services[program];
  const folders = (volumes as string[])
    .filter((volume) => !volume.endsWith(":ro"))
    .map((volume) => volume.split(":")[1] ?? "");
  return [...(tmpfs as string[]).map((mount) => mount.split(":")[0] ?? ""), ...folders].sort();
}

export const foreignImages = new Set<string>(
  Object.values<Json>(compose.services)
    .map((service) => service.image)
    .filter((image) => !image.startsWith("bulkhead/")),
);

// ---- contracts ----

const readContracts = (service: string): string =>
  readdirSync(join(ROOT, "proto", service, "v1"))
    .map((file) => read(`proto/${service}/v1/${file}`))
    .join("\n");
const contracts = new Map(SERVICES.map((service) => [service, readContracts(service)]));

// Streams do not count: whoever has one open opens it again elsewhere.
const callsOf = (text: string): string[] =>
  text.split(/^ *rpc /m).filter((method) => !/\bstream\b/.test(method.slice(0, method.indexOf("{"))));

export const longestCallSeconds = Math.max(
  ...[...contracts.values()].flatMap((text) =>
    [...callsOf(text).join().matchAll(/timeout_ms: *(\d+)/g)].map((match) => Number(match[1]) / 1000),
  ),
);

// Who calls a service.
export function callersOf(service: string): string[] {
  const callers = new Set<string>();
  for (const [, text] of (contracts.get(service) ?? "").matchAll(/option \(bulkhead\.v1\.method\) = \{([\s\S]*?)\};/g)) {
    if (!/ACCESS_INTERNAL/.test(text ?? "")) callers.add("gateway");
    for (const [, name] of (text ?? "").matchAll(/callers: *"([^"]*)"/g))
      for (const caller of name === "*" ? PROGRAMS : [name ?? ""]) callers.add(caller);
  }
  callers.delete(service);
  return [...callers].sort();
}

// Whether instances of a service call each other, because it has a cache.
export const asksItself = (service: string): boolean =>
  readdirSync(join(ROOT, "services", service)).some(
    (name) => name.endsWith(".c") && read(`services/${service}/${name}`).includes("service_cache_create("),
  );

// ---- the running stack ----

const readLog = (program: string): Json[] =>
  readFileSync(join(variable("BULKHEAD_RUN_DIR"), "log", `${program}-1.log`), "utf8")
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));

const logs = new Map(SERVICES.map((service) => [service, readLog(service)]));
const logOf = (program: string): Json[] => logs.get(program) ?? [];

// Connections to PostgreSQL beside those that settings say the number of.
export function fixedConnectionsOf(service: string): number {
  const line = logOf(service).find((entry) => entry.message === "connections to PostgreSQL fit");
  if (line === undefined) throw new Error(`${service} has not logged how many connections it opens`);
  return line.connections - poolOf({});
}
const POOL = ["PG_SHARED_CONNECTIONS", "PG_POOL_SIZE", "PG_SCAN_CONNECTIONS"];
const defaultOf = (name: string): number => {
  const [, value] =
    new RegExp(`^${name}\\n(?: .*\\n)*? .*default "(\\d+)"$`, "m").exec(helpOf(SERVICES[0] ?? "")) ?? [];
  if (value === undefined) throw new Error(`the help of a service does not say what ${name} is by default`);
  return Number(value);
};
export function poolOf(environment: Environment): number {
  return POOL.reduce((sum, name) => sum + Number(environment[name] ?? defaultOf(name)), 0);
}

function adminOf(program: string): string {
  if (program === "gateway") return variable("BULKHEAD_ADMIN_URL");
  return `http://${logOf(program).findLast((entry) => entry.message === "starting")?.admin}`;
}

// What the admin port of a program of the stack answers.
const pages = new Map<string, number>();
export async function adminStatus(program: string, path: string): Promise<number> {
  const page = adminOf(program) + path;
  const status = pages.get(page) ?? (await fetch(page)).status;
  pages.set(page, status);
  return status;
}
