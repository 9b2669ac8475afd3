// Who reaches whom by the NetworkPolicies of rendered manifests, held against who has business with whom.
import * as facts from "./facts.js";
import type { Json } from "./kustomize.js";
import { type Pod, podsOf, portOf, type Report, selects, type Suite } from "./pods.js";

const policiesOf = ({ manifests }: Suite, pod: Pod, direction: string): Json[] =>
  manifests
    .filter(
      ({ kind, spec }) =>
        kind === "NetworkPolicy" && spec.policyTypes.includes(direction) && selects(spec.podSelector, pod.labels),
    )
    .map(({ spec }) => spec);

function isPeer(peer: Json, pod: Pod): boolean {
  return (
    peer.podSelector !== undefined && peer.namespaceSelector === undefined && selects(peer.podSelector, pod.labels)
  );
}

const opens = (ports: Json[] | undefined, pod: Pod, port: number): boolean =>
  ports === undefined || ports.some((one) => one.protocol === "TCP" && portOf(pod, one.port) === port);

function reaches(suite: Suite, from: Pod, to: Pod, port: number): boolean {
  const leaves = policiesOf(suite, from, "Egress").some((policy) =>
    policy.egress?.some(
      (rule: Json) =>
        (rule.to ?? [{ podSelector: {} }]).some((peer: Json) => isPeer(peer, to)) && opens(rule.ports, to, port),
    ),
  );
  const enters = policiesOf(suite, to, "Ingress").some((policy) =>
    policy.ingress?.some(
      (rule: Json) =>
        (rule.from ?? [{ podSelector: {} }]).some((peer: Json) => isPeer(peer, from)) && opens(rule.ports, to, port),
    ),
  );
  return leaves && enters;
}

// Whether a pod has business with a port of another one.
function mayReach(from: Pod, to: Pod, port: string): boolean {
  const component = from.labels["app.kubernetes.io/component"] ?? "";
  if (port === "rpc" && from === to) return facts.asksItself(to.name);
  if (port === "rpc") return facts.callersOf(to.name).includes(from.name);
  if (port === "admin") return from.name === "consul";
  if (to.name === "postgres") return ["service", "migration"].includes(component) || from.name === "bootstrap";
  if (to.name === "redis") return component === "service";
  if (to.name === "consul") return ["gateway", "service"].includes(component) || from.name === "consul-acl";
  return false;
}

export function checkNetwork(suite: Suite, report: Report): void {
  const pods = podsOf(suite);
  for (const from of pods)
    for (const to of pods)
      for (const { name, containerPort } of to.container.ports ?? []) {
        if (from === to && name !== "rpc") continue;
        const does = reaches(suite, from, to, containerPort);
        if (does !== mayReach(from, to, name))
          report(`${from.owner} ${does ? "reaches" : "does not reach"} the port ${name} of ${to.owner}`);
      }
  for (const pod of pods)
    for (const direction of ["Ingress", "Egress"])
      if (policiesOf(suite, pod, direction).length === 0) report(`${pod.owner} has no policy for ${direction}`);
  const gateway = pods.find(({ name }) => name === "gateway");
  for (const port of gateway?.container.ports ?? [])
    if (port.name !== "admin" && !isPublic(suite, gateway as Pod, port.containerPort))
      report(`clients do not reach the port ${port.name} of the gateway`);
}

// Whether a pod may leave the cluster for a port somewhere.
export function leaves(suite: Suite, pod: Pod, port: number): boolean {
  return policiesOf(suite, pod, "Egress").some((policy) =>
    policy.egress?.some(
      (rule: Json) =>
        rule.to?.some((peer: Json) => peer.ipBlock !== undefined) &&
        rule.ports?.some((one: Json) => one.protocol === "TCP" && one.port === port),
    ),
  );
}

// Whether everybody may come, also from outside.
function isPublic(suite: Suite, pod: Pod, port: number): boolean {
  return policiesOf(suite, pod, "Ingress").some((policy) =>
    policy.ingress?.some((rule: Json) => rule.from === undefined && opens(rule.ports, pod, port)),
  );
}
