// Finds what is wrong with rendered manifests: what Kubernetes would refuse, what names something that is not there, and where they differ
// from what the programs and their images really do.
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import * as facts from "./facts.js";
import type { Json } from "./kustomize.js";
import { checkNetwork, leaves } from "./network.js";
import { isServing, type Pod, podsOf, portOf, programOf, type Report, selects, type Suite } from "./pods.js";

const require = createRequire(import.meta.url);

// ---- schemas ----

// Notes which members a validator looks at: one that it never asks for is not in the schema.
function spy(value: Json, path: string, unknown: Set<string>): Json {
  if (typeof value !== "object" || value === null) return value;
  const children = Object.keys(value).map((key) => `${path}/${key}`);
  if (!Array.isArray(value)) children.forEach((child) => unknown.add(child));
  return new Proxy(value, {
    get(target, key) {
      const child = `${path}/${String(key)}`;
      unknown.delete(child);
      const seen = target[key as string];
      return Object.hasOwn(target, key) ? (spied.get(seen) ?? remember(seen, child)) : seen;
    },
  });
  function remember(seen: Json, child: string): Json {
    const result = spy(seen, child, unknown);
    if (typeof seen === "object" && seen !== null) spied.set(seen, result);
    return result;
  }
}
let spied = new Map<Json, Json>();

function checkSchema({ manifests }: Suite, report: Report): void {
  for (const manifest of manifests) {
    const what = `${manifest.kind} ${manifest.metadata.name}`;
    const unknown = new Set<string>();
    spied = new Map();
    try {
      const model = require(`kubernetes-models/${manifest.apiVersion}/${manifest.kind}`)[manifest.kind];
      model.prototype.validate.call(spy(manifest, "", unknown));
    } catch (error) {
      report(`${what}: ${(error as Error).message}`);
      continue;
    }
    for (const path of unknown) report(`${what}: ${path} is not in the schema`);
  }
}

// ---- references ----

function checkNames({ manifests }: Suite, report: Report): void {
  const seen = new Set<string>();
  for (const { kind, metadata } of manifests) {
    const name = `${kind} ${metadata.name}`;
    if (seen.has(name)) report(`${name} is there twice`);
    seen.add(name);
    if (kind !== "Namespace" && metadata.namespace !== "bulkhead") report(`${name} is not in the namespace`);
  }
}

function checkSelectors(suite: Suite, report: Report): void {
  const pods = podsOf(suite);
  for (const { kind, metadata, spec } of suite.manifests) {
    const what = `${kind} ${metadata.name}`;
    const selector = kind === "Service" ? { matchLabels: spec.selector } : (spec?.selector ?? spec?.podSelector);
    const chosen = selector === undefined ? pods : pods.filter((pod) => selects(selector, pod.labels));
    if (chosen.length === 0) report(`${what} selects no pod`);
    for (const { targetPort } of kind === "Service" ? spec.ports : [])
      if (!chosen.every((pod) => portOf(pod, targetPort) !== undefined))
        report(`${what}: no pod has the port ${targetPort}`);
    const target = spec?.scaleTargetRef;
    if (target !== undefined && !pods.some((pod) => pod.owner === `${target.kind} ${target.name}`))
      report(`${what} scales ${target.kind} ${target.name}, which is not there`);
  }
  for (const program of facts.PROGRAMS)
    for (const kind of ["Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy"])
      if (!suite.manifests.some((manifest) => manifest.kind === kind && manifest.metadata.name === program))
        report(`there is no ${kind} ${program}`);
}

// ---- volumes and files ----

const sourcesOf = (volume: Json): Json[] => volume.projected?.sources ?? [volume];
const secretOf = (source: Json): string | undefined => source.secret?.secretName ?? source.secret?.name;

// The files of a container: path to text. Reports Secrets and ConfigMaps that are not there.
function filesOf({ manifests, secrets }: Suite, pod: Pod, report: Report): Map<string, string> {
  const files = new Map<string, string>();
  for (const { name, mountPath } of pod.container.volumeMounts ?? [])
    for (const source of sourcesOf(pod.spec.volumes?.find((volume: Json) => volume.name === name) ?? {})) {
      const secret = secretOf(source);
      const map = source.configMap?.name;
      const data =
        secret === undefined
          ? manifests.find(({ kind, metadata }) => kind === "ConfigMap" && metadata.name === map)?.["data"]
          : secrets.get(secret);
      if (data === undefined && (secret ?? map) !== undefined)
        report(`${pod.owner}: there is no ${secret ?? map} to mount`);
      const items = source.secret?.items ?? Object.keys(data ?? {}).map((key) => ({ key, path: key }));
      for (const { key, path } of items)
        if (data?.[key] === undefined) report(`${pod.owner}: ${secret ?? map} has no key ${key}`);
        else files.set(join(mountPath, path), data[key]);
    }
  return files;
}

function checkVolumes(suite: Suite, report: Report): void {
  for (const pod of podsOf(suite)) {
    const claims = suite.manifests.find((one) => `${one.kind} ${one.metadata.name}` === pod.owner)?.["spec"]
      .volumeClaimTemplates;
    const volumes: Json[] = [...(pod.spec.volumes ?? []), ...(claims ?? []).map((claim: Json) => claim.metadata)];
    const mounts: Json[] = pod.container.volumeMounts ?? [];
    for (const { name } of mounts)
      if (!volumes.some((volume) => volume.name === name)) report(`${pod.owner} mounts ${name}, which is no volume`);
    for (const volume of volumes) {
      if (!mounts.some(({ name }) => name === volume.name))
        report(`${pod.owner} has the volume ${volume.name} and does not mount it`);
      if (volume.emptyDir !== undefined && volume.emptyDir.sizeLimit === undefined)
        report(`${pod.owner}: ${volume.name} may fill the node`);
      // fsGroup owns the files; nobody else needs them.
      const mode = volume.secret?.defaultMode ?? volume.projected?.defaultMode;
      if (sourcesOf(volume).some((source) => secretOf(source) !== undefined) && mode !== 0o440)
        report(`${pod.owner}: the files of ${volume.name} have the mode ${mode}`);
    }
    const files = filesOf(suite, pod, report);
    const words = [...(pod.container.command ?? []), ...(pod.container.args ?? [])].map(String);
    for (const [path] of words.join(" ").matchAll(/\/(run|bulkhead)\/[a-z._\/-]+/g))
      if (!files.has(path)) report(`${pod.owner}: ${path} is in no volume`);
  }
}

// ---- what a program finds ----

function environmentOf(suite: Suite, pod: Pod, report: Report): facts.Environment {
  const result: facts.Environment = {};
  for (const { configMapRef } of pod.container.envFrom ?? []) {
    const map = suite.manifests.find(
      ({ kind, metadata }) => kind === "ConfigMap" && metadata.name === configMapRef.name,
    );
    if (map === undefined) report(`${pod.owner}: there is no ConfigMap ${configMapRef.name}`);
    Object.assign(result, map?.["data"]);
  }
  for (const { name, value, valueFrom } of pod.container.env ?? []) {
    if (result[name] !== undefined) report(`${pod.owner}: ${name} is set twice`);
    if (valueFrom?.fieldRef?.fieldPath === "status.podIP") result[name] = "2001:db8::7";
    else if (valueFrom?.resourceFieldRef?.resource === "limits.cpu")
      result[name] = String(pod.container.resources.limits.cpu);
    else if (typeof value === "string") result[name] = value;
    else report(`${pod.owner}: ${name} has no value that this test knows`);
  }
  return result;
}

// Asks the programs themselves, with the files where this machine can have them.
function checkSettings(suite: Suite, report: Report): void {
  for (const pod of podsOf(suite)) {
    const program = programOf(pod);
    if (program === undefined) continue;
    const environment = environmentOf(suite, pod, report);
    for (const name of Object.keys(environment))
      if (!facts.settings.get(program)?.includes(name)) report(`${pod.owner}: ${name} is not a setting of ${program}`);
    const files = filesOf(suite, pod, report);
    const root = join(suite.folder, pod.name);
    for (const [path, text] of files) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      // No PostgreSQL is asked for, not even by its name.
      writeFileSync(join(root, path), text.replace("host=postgres", "host=/nonexistent"));
    }
    const here = Object.fromEntries(
      Object.entries(environment).map(([name, value]) => {
        if (value.startsWith("/run/") && !files.has(value))
          report(`${pod.owner}: ${name} is ${value}, which is in no volume`);
        return [name, value.startsWith("/run/") ? root + value : value];
      }),
    );
    // The programs of this machine look at no folder of the image.
    const image = facts.environmentOf(program);
    delete image["STATE_DIR"];
    const command = pod.container.args ?? ["check-config"];
    const complaint = facts.complaintOf(program, command, { ...image, ...here });
    if (complaint !== "") report(`${pod.owner}: ${program} says: ${complaint}`);
  }
}

// ---- how closed the pods are ----

function checkSecurity(suite: Suite, report: Report): void {
  for (const pod of podsOf(suite)) {
    const demand = (holds: boolean, text: string) => holds || report(`${pod.owner}: ${text}`);
    const { securityContext: whole = {} } = pod.spec;
    const { securityContext: own = {}, resources, image } = pod.container;
    demand(
      pod.spec.containers.length === 1 && pod.spec.initContainers === undefined,
      "this test looks at one container",
    );
    demand(whole.runAsNonRoot === true && whole.runAsUser > 0 && whole.runAsGroup > 0, "may run as root");
    demand(whole.fsGroup === whole.runAsGroup, "its group cannot read the Secrets");
    demand(whole.seccompProfile?.type === "RuntimeDefault", "has no seccomp profile");
    demand(own.allowPrivilegeEscalation === false, "may gain privileges");
    demand(own.readOnlyRootFilesystem === true, "its root file system can be written");
    demand(JSON.stringify(own.capabilities) === '{"drop":["ALL"]}', "has capabilities");
    demand(Object.keys(own).length === 3, "has settings of security that this test does not know");
    demand(pod.spec.automountServiceAccountToken === false, "has a token of the cluster");
    demand(pod.spec.enableServiceLinks === false, "gets variables of other services");
    for (const kind of ["hostNetwork", "hostPID", "hostIPC"]) demand(pod.spec[kind] === undefined, `uses ${kind}`);
    for (const kind of ["requests", "limits"])
      for (const what of ["cpu", "memory"])
        demand(resources?.[kind]?.[what] !== undefined, `has no ${kind} of ${what}`);
    if (!image.startsWith("bulkhead/"))
      demand(facts.foreignImages.has(image), `${image} is not an image of docker-compose.yml`);
    checkUser(pod, report);
  }
}

function checkUser(pod: Pod, report: Report): void {
  const program = /^bulkhead\/([a-z]+)(:|$)/.exec(pod.container.image)?.[1];
  if (program === undefined) return;
  const { user, group } = facts.userOf(program);
  const { runAsUser, runAsGroup } = pod.spec.securityContext ?? {};
  if (runAsUser !== user || runAsGroup !== group)
    report(`${pod.owner} runs as ${runAsUser}:${runAsGroup}, and the image is made for ${user}:${group}`);
  if (!isServing(pod)) return;
  const writable = (pod.spec.volumes ?? [])
    .filter((volume: Json) => volume.emptyDir !== undefined)
    .map((volume: Json) => pod.container.volumeMounts?.find((mount: Json) => mount.name === volume.name)?.mountPath)
    .sort();
  const expected = facts.writableOf(program);
  if (writable.join() !== expected.join())
    report(`${pod.owner} may write to ${writable}, and ${program} writes to ${expected}`);
}

// ---- ports, probes, time ----

// A process does so much after its last call: see tests/scripts/test_stop_grace.sh.
const AFTER_CALLS_SECONDS = 12;

function listenersOf(program: string, environment: facts.Environment): Record<string, number> {
  const port = (value: string | undefined, fallback: number) => Number(value?.split(":").pop() ?? fallback);
  if (program !== "gateway")
    return { rpc: port(environment["RPC_LISTEN"], 0), admin: port(environment["ADMIN_LISTEN"], 0) };
  return {
    http: port(environment["GATEWAY_LISTEN"], 8080),
    admin: port(environment["GATEWAY_ADMIN_LISTEN"], 9090),
    ...(environment["TLS_CERTIFICATE"] !== undefined ? {} : { grpc: port(environment["GRPC_LISTEN"], 8081) }),
    ...(environment["TLS_CERTIFICATE"] === undefined ? {} : { https: port(environment["HTTPS_LISTEN"], 8443) }),
  };
}

function checkPorts(suite: Suite, report: Report): void {
  for (const pod of podsOf(suite).filter(isServing)) {
    const program = programOf(pod) ?? "";
    const listeners = listenersOf(program, { ...facts.environmentOf(program), ...environmentOf(suite, pod, report) });
    const declared = Object.fromEntries(
      (pod.container.ports ?? []).map((port: Json) => [port.name, port.containerPort]),
    );
    for (const name of new Set([...Object.keys(listeners), ...Object.keys(declared)]))
      if (listeners[name] !== declared[name])
        report(`${pod.owner}: the port ${name} is ${declared[name]}, and ${program} listens at ${listeners[name]}`);
  }
}

async function checkProbes(suite: Suite, report: Report): Promise<void> {
  for (const pod of podsOf(suite).filter(isServing))
    for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"]) {
      const { path, port } = pod.container[probe]?.httpGet ?? {};
      const status = path === undefined ? 0 : await facts.adminStatus(programOf(pod) ?? "", path);
      if (status !== 200) report(`${pod.owner}: the ${probe} asks for ${path}, which answers ${status}`);
      if (port !== "admin") report(`${pod.owner}: the ${probe} asks the port ${port}`);
      // A process that waits for PostgreSQL is not to be killed, and one that drains not to be called.
      if ((path === "/readyz") !== (probe === "readinessProbe")) report(`${pod.owner}: the ${probe} asks for ${path}`);
    }
}

function checkGrace(suite: Suite, report: Report): void {
  for (const pod of podsOf(suite).filter(isServing)) {
    const [command, pause = "0"] = pod.container.lifecycle?.preStop?.exec?.command ?? ["sleep"];
    if (command !== "sleep") report(`${pod.owner}: this test does not know how long ${command} takes`);
    const least = Number(pause) + facts.longestCallSeconds + AFTER_CALLS_SECONDS;
    const grace = pod.spec.terminationGracePeriodSeconds ?? 30;
    if (grace < least) report(`${pod.owner} is killed after ${grace} s, and may need ${least} s`);
    // Without the pause nodes send connections to a gateway that has closed its sockets.
    if (programOf(pod) === "gateway" && Number(pause) < 5) report(`${pod.owner} ends before clients stop coming`);
  }
}

// ---- connections to PostgreSQL ----

// At most as many old instances drain as new ones serve.
const GENERATIONS = 2;
const RESERVED_FOR_SUPERUSERS = 3;

export interface Demand {
  service: number;
  server: number;
}

// The connections that each service must be allowed, and those that PostgreSQL must take: with migrations, one for each Job.
export function connectionsOf(suite: Suite, report: Report): Demand {
  const demands = podsOf(suite)
    .filter((pod) => isServing(pod) && programOf(pod) !== "gateway")
    .map((pod) => {
      const scaler = suite.manifests.find(
        ({ kind, metadata }) => kind === "HorizontalPodAutoscaler" && metadata.name === pod.name,
      );
      const each = facts.poolOf(environmentOf(suite, pod, report)) + facts.fixedConnectionsOf(pod.name);
      return GENERATIONS * (scaler?.["spec"].maxReplicas ?? 0) * each;
    });
  const service = Math.max(...demands);
  return { service, server: demands.length * service + demands.length + RESERVED_FOR_SUPERUSERS };
}

function checkConnections(suite: Suite, report: Report): void {
  const demand = connectionsOf(suite, report);
  const pods = podsOf(suite);
  const bootstrap = pods.find(({ name }) => name === "bootstrap")?.container.env ?? [];
  const [, server] =
    /max_connections=(\d+)/.exec(pods.find(({ name }) => name === "postgres")?.container.args?.join(" ") ?? "") ?? [];
  // Where the server is not in the cluster, the README tells its operator.
  const [, told] = /`connections` (\d+)/.exec(facts.readme) ?? [];
  const [, toldServer] = /`max_connections` (\d+)/.exec(facts.readme) ?? [];
  const allowed = Number(bootstrap.find((one: Json) => one.name === "SERVICE_CONNECTIONS")?.value ?? told);
  const room = Number(server ?? toldServer);
  if (!(allowed >= demand.service))
    report(`a service may open ${demand.service} connections, and is allowed ${allowed}`);
  if (!(room >= demand.server)) report(`PostgreSQL must take ${demand.server} connections, and takes ${room}`);
  const roles = facts.SERVICES.length * allowed + RESERVED_FOR_SUPERUSERS;
  if (!(room >= roles)) report(`the roles may open ${roles} connections, and PostgreSQL takes ${room}`);
}

// ---- who finds whom ----

// What RPC_STATIC or GATEWAY_STATIC says about a service.
function placeOf(environment: facts.Environment, service: string): string | undefined {
  const places = environment["RPC_STATIC"] ?? environment["GATEWAY_STATIC"] ?? "";
  return places
    .split(";")
    .find((place) => place.startsWith(`${service}=`))
    ?.slice(service.length + 1);
}

function isHeadless(suite: Suite, place: string, to: Pod): boolean {
  const [, name, port] = /^dns\+tls\+tcp:\/\/([a-z-]+):(\d+)$/.exec(place) ?? [];
  const service = suite.manifests.find(({ kind, metadata }) => kind === "Service" && metadata.name === name);
  return (
    service?.["spec"].clusterIP === "None" &&
    selects({ matchLabels: service["spec"].selector }, to.labels) &&
    portOf(to, "rpc") === Number(port)
  );
}

function checkDiscovery(suite: Suite, report: Report): void {
  const pods = podsOf(suite).filter(isServing);
  for (const from of pods) {
    const environment = environmentOf(suite, from, report);
    for (const to of pods.filter(({ name }) => name !== "gateway" && facts.callersOf(name).includes(from.name))) {
      const place = placeOf(environment, to.name);
      if (place === undefined && environment["CONSUL_URL"] === undefined)
        report(`${from.owner} is not told where ${to.name} is`);
      if (place !== undefined && !isHeadless(suite, place, to))
        report(`${from.owner} finds ${to.name} by ${place}, which is not a headless Service of it`);
    }
  }
}

// A mail server is outside the cluster.
function checkMail(suite: Suite, report: Report): void {
  for (const pod of podsOf(suite).filter(isServing)) {
    const url = environmentOf(suite, pod, report)["MAIL_URL"];
    if (url === undefined) continue;
    const port = Number(/:(\d+)$/.exec(url)?.[1] ?? (url.startsWith("smtps:") ? 465 : 587));
    if (!leaves(suite, pod, port)) report(`${pod.owner} does not reach the mail server's port ${port}`);
  }
}

// ---- all of it ----

export async function findFaults(suite: Suite): Promise<string[]> {
  const findings = new Set<string>();
  const report: Report = (finding) => findings.add(finding);
  checkSchema(suite, report);
  checkNames(suite, report);
  checkSelectors(suite, report);
  checkVolumes(suite, report);
  checkSettings(suite, report);
  checkSecurity(suite, report);
  checkPorts(suite, report);
  await checkProbes(suite, report);
  checkGrace(suite, report);
  checkConnections(suite, report);
  checkDiscovery(suite, report);
  checkNetwork(suite, report);
  checkMail(suite, report);
  return [...findings];
}
