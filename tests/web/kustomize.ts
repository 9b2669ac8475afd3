// Renders a kustomization as `kubectl kustomize` does, as far as deploy/k8s makes use of it. A feature that stands nowhere below is
// refused, so that nothing is rendered otherwise than a cluster would get it; where there is a kubectl, a test compares both.
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { parse, parseAllDocuments } from "yaml";

// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Json = any;

export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; [key: string]: Json };
  [key: string]: Json;
}

const FEATURES = ["apiVersion", "kind", "namespace", "resources", "images", "configMapGenerator", "patches"];
const WITHOUT_NAMESPACE = ["Namespace"];
// What tells the members of a list apart where a patch is merged into it.
const MERGE_KEYS: Record<string, string> = {
  containers: "name",
  env: "name",
  volumes: "name",
  volumeMounts: "mountPath",
};

// Kubernetes reads YAML 1.1, where 0440 is octal.
const YAML = { version: "1.1" } as const;

function refuseOthers(what: string, value: object, known: string[]): void {
  for (const key of Object.keys(value))
    if (!known.includes(key)) throw new Error(`${what}: "${key}" is not rendered here; known are ${known.join(", ")}`);
}

function readDocuments(file: string): Manifest[] {
  return parseAllDocuments(readFileSync(file, "utf8"), YAML).map((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw new Error(`${file}: ${error.message}`);
    return document.toJS() as Manifest;
  });
}

// ---- generated ConfigMaps ----

// The end of a generated name, which changes with the data. The name in what is hashed is always empty.
function hashOf(data: Record<string, string>): string {
  const sorted = Object.fromEntries(Object.entries(data).sort(([a], [b]) => (a < b ? -1 : 1)));
  const text = JSON.stringify({ data: sorted, kind: "ConfigMap", name: "" }).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  const letters: Record<string, string> = { "0": "g", "1": "h", "3": "k", a: "m", e: "t" };
  const hex = createHash("sha256").update(text).digest("hex").slice(0, 10);
  return [...hex].map((char) => letters[char] ?? char).join("");
}

function generate(folder: string, generator: Json): Manifest {
  refuseOthers("configMapGenerator", generator, ["name", "literals", "files"]);
  const data: Record<string, string> = {};
  for (const literal of generator.literals ?? []) {
    const [, key, value] = /^([^=]+)=(.*)$/s.exec(literal) ?? [];
    if (key === undefined || value === undefined) throw new Error(`"${literal}" is not KEY=VALUE`);
    data[key] = value;
  }
  for (const file of generator.files ?? []) data[basename(file)] = readFileSync(join(folder, file), "utf8");
  const name = `${generator.name}-${hashOf(data)}`;
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data };
}

// Calls `visit` for each object that refers to a ConfigMap by the key "name".
function visitReferences(value: Json, visit: (reference: { name: string }) => void): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, child] of Object.entries(value as object)) {
    if (["configMapRef", "configMapKeyRef", "configMap"].includes(key)) visit(child as { name: string });
    visitReferences(child, visit);
  }
}

// ---- patches ----

function mergeLists(key: string, target: Json[], patch: Json[]): Json[] {
  if (target.length === 0 || patch.every((value) => typeof value !== "object")) return patch;
  // The ports of a Service are told apart by another member than those of a container.
  const mergeKey = key === "ports" ? ("port" in patch[0] ? "port" : "containerPort") : MERGE_KEYS[key];
  if (mergeKey === undefined) throw new Error(`a patch of the list "${key}" is not rendered here`);
  const found = (value: Json) => target.some((other) => other[mergeKey] === value[mergeKey]);
  const changed = target.map((value) => {
    const change = patch.find((other) => other[mergeKey] === value[mergeKey]);
    return change === undefined ? value : merge("", value, change);
  });
  return [...patch.filter((value) => !found(value)), ...changed];
}

// A strategic merge.
function merge(key: string, target: Json, patch: Json): Json {
  if (Array.isArray(patch)) return mergeLists(key, (target ?? []) as Json[], patch);
  if (typeof patch !== "object" || patch === null) return patch;
  if ("$patch" in patch) throw new Error("$patch is not rendered here");
  const result = { ...target };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = merge(name, result[name], value);
  }
  return result;
}

// One operation of a JSON patch (RFC 6902).
function operate(target: Json, operation: Json): void {
  if (operation.op !== "replace") throw new Error(`the operation "${operation.op}" is not rendered here`);
  const path = String(operation.path).split("/").slice(1);
  const last = path.pop() ?? "";
  const parent = path.reduce((value, key) => value?.[key], target);
  if (parent?.[last] === undefined) throw new Error(`${target.kind} ${target.metadata.name} has no ${operation.path}`);
  parent[last] = operation.value;
}

function applyPatch(folder: string, manifests: Manifest[], patch: Json): void {
  refuseOthers("patches", patch, ["path", "patch", "target"]);
  const text = patch.path === undefined ? patch.patch : readFileSync(join(folder, patch.path), "utf8");
  const content = parse(text, YAML);
  const target = patch.target ?? { kind: content.kind, name: content.metadata.name };
  refuseOthers("the target of a patch", target, ["kind", "name"]);
  const chosen = manifests.filter(
    ({ kind, metadata }) => kind === target.kind && (target.name === undefined || metadata.name === target.name),
  );
  if (chosen.length === 0) throw new Error(`${folder}: there is no ${target.kind} ${target.name ?? ""} to patch`);
  for (const manifest of chosen) {
    if (Array.isArray(content)) content.forEach((operation) => operate(manifest, operation));
    else Object.assign(manifest, merge("", manifest, content));
  }
}

// ---- the whole ----

function podsOf(value: Json, visit: (container: Json) => void): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, child] of Object.entries(value as object)) {
    if (key === "containers" || key === "initContainers") (child as Json[]).forEach(visit);
    podsOf(child, visit);
  }
}

function setImages(manifests: Manifest[], images: Json[]): void {
  for (const image of images) {
    refuseOthers("images", image, ["name", "newName", "newTag"]);
    podsOf(manifests, (container) => {
      const [, name, tag] = /^(.*?)(:[^/:]*)?$/.exec(container.image) ?? [];
      if (name !== image.name) return;
      container.image = (image.newName ?? name) + (image.newTag === undefined ? (tag ?? "") : `:${image.newTag}`);
    });
  }
}

function collect(folder: string): Manifest[] {
  const kustomization = parse(readFileSync(join(folder, "kustomization.yaml"), "utf8"), YAML);
  refuseOthers(folder, kustomization, FEATURES);
  const manifests: Manifest[] = (kustomization.resources ?? []).flatMap((resource: string) => {
    const path = join(folder, resource);
    return statSync(path).isDirectory() ? collect(path) : readDocuments(path);
  });
  for (const patch of kustomization.patches ?? []) applyPatch(folder, manifests, patch);
  for (const generator of kustomization.configMapGenerator ?? []) manifests.push(generate(folder, generator));
  setImages(manifests, kustomization.images ?? []);
  if (kustomization.namespace !== undefined)
    for (const { kind, metadata } of manifests)
      if (!WITHOUT_NAMESPACE.includes(kind)) metadata.namespace = kustomization.namespace;
  return manifests;
}

export function render(folder: string): Manifest[] {
  const manifests = collect(folder);
  const generated = new Map<string, string>();
  for (const { kind, metadata } of manifests)
    if (kind === "ConfigMap") generated.set(metadata.name.replace(/-[^-]*$/, ""), metadata.name);
  visitReferences(manifests, (reference) => {
    reference.name = generated.get(reference.name) ?? reference.name;
  });
  return manifests;
}

export { readDocuments };
