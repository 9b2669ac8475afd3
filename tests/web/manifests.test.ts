// The manifests of deploy/k8s: every overlay is rendered and held against the schemas of Kubernetes and against what the programs really
// do. That the checks can fail is shown by manifests with a fault.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseAllDocuments } from "yaml";
import { compose, fixedConnectionsOf, poolOf, readme, ROOT, SERVICES } from "./facts.js";
import { type Json, type Manifest, readDocuments, render } from "./kustomize.js";
import { findFaults } from "./manifests.js";
import type { Suite } from "./pods.js";

// These Secrets are for what only the local overlay has.
const STORES = ["postgres", "redis", "consul", "bootstrap", "consul-acl", "gateway"];
const OVERLAYS = ["local", "production"];
const folderOf = (overlay: string): string => join(ROOT, "deploy/k8s/overlays", overlay);

const folder = mkdtempSync(join(tmpdir(), "bulkhead-manifests-"));
// The gateway's settings are also checked for the user of its workers.
chmodSync(folder, 0o755);
after(() => rmSync(folder, { recursive: true }));

// What deploy/k8s/secrets makes, and the certificate of the public name, which is the operator's.
function makeSecrets(): Suite["secrets"] {
  const made = join(folder, "secrets");
  execFileSync(join(ROOT, "deploy/docker/secrets"), [made], { stdio: "ignore" });
  const text = execFileSync(join(ROOT, "deploy/k8s/secrets"), [made], { encoding: "utf8" });
  const secrets: Suite["secrets"] = new Map();
  for (const document of parseAllDocuments(text)) {
    const { metadata, data } = document.toJS() as Manifest;
    const texts = Object.entries<string>(data).map(([key, value]) => [key, Buffer.from(value, "base64").toString()]);
    secrets.set(metadata.name, Object.fromEntries(texts));
  }
  const certificate = secrets.get("gateway-rpc-tls")?.["own.pem"] ?? "";
  secrets.set("gateway-tls", { "tls.crt": certificate, "tls.key": certificate });
  return secrets;
}
const secrets = makeSecrets();

// What an operator of the production overlay makes: the Secrets of the README's table, without the tokens for Consul.
const production: Suite["secrets"] = new Map(
  [...secrets]
    .filter(([name]) => !STORES.includes(name))
    .map(([name, { consul: _, ...data }]) => [name, name === "auth" ? { ...data, mail: "its password" } : data]),
);
const secretsOf = (overlay: string): Suite["secrets"] => (overlay === "production" ? production : secrets);
const suiteOf = (overlay: string): Suite => ({
  manifests: render(folderOf(overlay)),
  secrets: secretsOf(overlay),
  folder,
});

for (const overlay of OVERLAYS)
  test(`${overlay}: nothing is wrong`, async () => {
    assert.deepEqual(await findFaults(suiteOf(overlay)), []);
  });

// The name and the keys of each Secret that an operator has to make.
test("the README names what the Secrets hold", () => {
  for (const [name, data] of [...secrets, ...production])
    for (const key of Object.keys(data).filter((one) => one !== "consul" && !STORES.includes(name))) {
      const told = `\`${name.replace(/^(auth|user|item)(?=$|-)/, "SERVICE")}\``;
      const part = readme.split("\n\n").find((text) => text.includes(told) && text.includes(`\`${key}\``));
      assert.ok(part !== undefined, `the README does not name ${key} of the Secret ${name}`);
    }
});

test("compose: what the services may open together fits into PostgreSQL", () => {
  const { bootstrap, postgres } = compose.services;
  const [, each] = /:-(\d+)\}/.exec(bootstrap.environment.SERVICE_CONNECTIONS) ?? [];
  const [, room] = /max_connections=(\d+)/.exec(postgres.command.join()) ?? [];
  assert.ok(SERVICES.length * Number(each) + 3 <= Number(room), `${SERVICES.length} x ${each} in ${room}`);
  // The comment at the top of docker-compose.yml says how many an instance needs.
  for (const service of SERVICES) assert.ok(3 * (poolOf({}) + fixedConnectionsOf(service)) <= Number(each), service);
});

test("what is rendered here is what kubectl renders", (context) => {
  if (spawnSync("kubectl", ["version", "--client"]).status !== 0) return context.skip("there is no kubectl");
  for (const overlay of OVERLAYS) {
    const file = join(folder, `${overlay}.yaml`);
    writeFileSync(file, execFileSync("kubectl", ["kustomize", folderOf(overlay)]));
    const byName = (manifests: Manifest[]) =>
      new Map(manifests.map((one) => [`${one.kind} ${one.metadata.name}`, one]));
    assert.deepEqual(byName(render(folderOf(overlay))), byName(readDocuments(file)));
  }
});

// ---- faults ----

const find = (suite: Suite, kind: string, name: string): Json =>
  suite.manifests.find((one) => one.kind === kind && one.metadata.name === name);
const podOf = (suite: Suite, name: string): Json => find(suite, "Deployment", name).spec.template.spec;
const containerOf = (suite: Suite, name: string): Json => podOf(suite, name).containers[0];
const envOf = (suite: Suite, name: string, variable: string): Json =>
  containerOf(suite, name).env.find((one: Json) => one.name === variable);
const without = (suite: Suite, kind: string, name: string): void => {
  suite.manifests = suite.manifests.filter((one) => one.kind !== kind || one.metadata.name !== name);
};

const faults: [string, RegExp, (suite: Suite) => void][] = [
  ["a misspelt field", /livenesProbe is not in the schema/, (suite) => (containerOf(suite, "item").livenesProbe = {})],
  [
    "a field of the wrong type",
    /terminationGracePeriodSeconds must be/,
    (suite) => (podOf(suite, "item").terminationGracePeriodSeconds = "45"),
  ],
  [
    "a port that nobody listens at",
    /the port rpc is 7001, and item listens at 7000/,
    (suite) => (containerOf(suite, "item").ports[0].containerPort = 7001),
  ],
  [
    "a listener without its port",
    /the port rpc is 7000, and item listens at 7001/,
    (suite) => (envOf(suite, "item", "RPC_LISTEN").value = "tls+tcp://0.0.0.0:7001"),
  ],
  [
    "a page that is not there",
    /asks for \/livez, which answers 404/,
    (suite) => (containerOf(suite, "gateway").livenessProbe.httpGet.path = "/livez"),
  ],
  [
    "a liveness that depends on others",
    /the livenessProbe asks for \/readyz/,
    (suite) => (containerOf(suite, "user").livenessProbe.httpGet.path = "/readyz"),
  ],
  [
    "a probe that is missing",
    /the startupProbe asks for undefined/,
    (suite) => delete containerOf(suite, "auth").startupProbe,
  ],
  [
    "a variable that is not a setting",
    /PG_POOLSIZE is not a setting of item/,
    (suite) => (envOf(suite, "item", "REDIS_USER").name = "PG_POOLSIZE"),
  ],
  [
    "a value that is refused",
    /item says: .*RPC_LISTEN/s,
    (suite) => (envOf(suite, "item", "RPC_LISTEN").value = "udp://0.0.0.0:7000"),
  ],
  [
    "a value that the gateway refuses",
    /gateway says: .*GATEWAY_WORKERS/s,
    (suite) => (containerOf(suite, "gateway").resources.limits.cpu = "500m"),
  ],
  [
    "a file that is not mounted",
    /RPC_TLS_CA is \/run\/rpc-tls\/authority.pem, which is in no volume/,
    (suite) => (envOf(suite, "user", "RPC_TLS_CA").value = "/run/rpc-tls/authority.pem"),
  ],
  [
    "a Secret that is missing",
    /there is no item-rpc-tls to mount/,
    (suite) => (suite.secrets = new Map([...suite.secrets].filter(([name]) => name !== "item-rpc-tls"))),
  ],
  [
    "a key that a Secret lacks",
    /PG_CONNINFO_FILE is \/run\/secrets\/pg_conninfo, which is in no volume/,
    (suite) => (suite.secrets = new Map(suite.secrets).set("user", { consul: "x", redis: "x" })),
  ],
  [
    "a ConfigMap that is missing",
    /there is no ConfigMap services/,
    (suite) => without(suite, "ConfigMap", containerOf(suite, "item").envFrom[1].configMapRef.name),
  ],
  [
    "another user than the image's",
    /runs as 1000:10001, and the image is made for 10001:10001/,
    (suite) => (podOf(suite, "auth").securityContext.runAsUser = 1000),
  ],
  [
    "a root file system that can be written",
    /its root file system can be written/,
    (suite) => (containerOf(suite, "auth").securityContext.readOnlyRootFilesystem = false),
  ],
  [
    "a folder that cannot be written",
    /may write to \/var\/lib\/bulkhead, and gateway writes to \/tmp,/,
    (suite) => {
      const isOther = ({ name }: Json) => name !== "tmp";
      podOf(suite, "gateway").volumes = podOf(suite, "gateway").volumes.filter(isOther);
      containerOf(suite, "gateway").volumeMounts = containerOf(suite, "gateway").volumeMounts.filter(isOther);
    },
  ],
  [
    "a token of the cluster",
    /has a token of the cluster/,
    (suite) => delete podOf(suite, "item").automountServiceAccountToken,
  ],
  [
    "a grace shorter than the longest call",
    /is killed after 30 s, and may need 52 s/,
    (suite) => delete podOf(suite, "item").terminationGracePeriodSeconds,
  ],
  [
    "a pause that eats up the grace",
    /is killed after 60 s, and may need 72 s/,
    (suite) => (containerOf(suite, "gateway").lifecycle.preStop.exec.command[1] = "30"),
  ],
  [
    "more instances than PostgreSQL takes",
    /PostgreSQL must take \d+ connections, and takes/,
    (suite) => (find(suite, "HorizontalPodAutoscaler", "item").spec.maxReplicas = 20),
  ],
  [
    "a way that no contract names",
    /Deployment item reaches the port rpc of Deployment user/,
    (suite) => {
      find(suite, "NetworkPolicy", "user").spec.ingress[0].from[0].podSelector = {};
      find(suite, "NetworkPolicy", "item").spec.egress[0].to[0].podSelector = {};
    },
  ],
  [
    "a way that is closed",
    /Deployment user does not reach the port rpc of Deployment auth/,
    (suite) => delete find(suite, "NetworkPolicy", "user").spec.egress,
  ],
  [
    "instances with a cache that do not reach each other",
    /Deployment item does not reach the port rpc of Deployment item/,
    (suite) =>
      (find(suite, "NetworkPolicy", "item").spec.egress[0].to[0].podSelector = {
        matchLabels: { "app.kubernetes.io/name": "auth" },
      }),
  ],
  [
    "a mail server that cannot be reached",
    /Deployment auth does not reach the mail server's port 587/,
    (suite) => without(suite, "NetworkPolicy", "to-mail"),
  ],
  [
    "a pod that everybody reaches",
    /has no policy for Ingress/,
    (suite) => {
      without(suite, "NetworkPolicy", "default-deny");
      without(suite, "NetworkPolicy", "item");
      without(suite, "NetworkPolicy", "metrics");
    },
  ],
  [
    "a service that cannot be found",
    /Deployment gateway finds item by dns\+tls\+tcp:\/\/item:7000, which is not a headless Service/,
    (suite) => (find(suite, "Service", "item").metadata.name = "items"),
  ],
  [
    "a service that nobody is told of",
    /Deployment user is not told where auth is/,
    (suite) => {
      const { data } = find(suite, "ConfigMap", containerOf(suite, "item").envFrom[1].configMapRef.name);
      data.RPC_STATIC = "user=dns+tls+tcp://user:7000";
    },
  ],
  [
    "a selector of nothing",
    /PodDisruptionBudget item selects no pod/,
    (suite) => (find(suite, "PodDisruptionBudget", "item").spec.selector.matchLabels = { name: "item" }),
  ],
  [
    "an image that compose does not know",
    /postgres:16 is not an image of docker-compose.yml/,
    (suite) => (containerOf(suite, "item").image = "postgres:16"),
  ],
];

for (const [what, expected, make] of faults)
  test(`found: ${what}`, async () => {
    const suite = structuredClone(suiteOf("production"));
    make(suite);
    const found = await findFaults(suite);
    assert.ok(
      found.some((finding) => expected.test(finding)),
      `found only ${JSON.stringify(found)}`,
    );
  });
