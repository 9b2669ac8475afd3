// The pods of rendered manifests, as the checks of them look at them.
import type { Json, Manifest } from "./kustomize.js";

export interface Suite {
  manifests: Manifest[];
  // The Secrets that are made beside them, with the text of each key.
  secrets: Map<string, Record<string, string>>;
  // A folder for the files that programs are asked about.
  folder: string;
}

export type Report = (finding: string) => void;

export interface Pod {
  owner: string;
  name: string;
  labels: Record<string, string>;
  spec: Json;
  container: Json;
}

export function podsOf({ manifests }: Suite): Pod[] {
  return manifests
    .filter(({ spec }) => spec?.template?.spec !== undefined)
    .map(({ kind, metadata, spec }) => ({
      owner: `${kind} ${metadata.name}`,
      name: metadata.name,
      labels: spec.template.metadata.labels,
      spec: spec.template.spec,
      container: spec.template.spec.containers[0],
    }));
}

export const programOf = (pod: Pod): string | undefined =>
  pod.container.command === undefined ? /^bulkhead\/([a-z]+)(:|$)/.exec(pod.container.image)?.[1] : undefined;
export const isServing = (pod: Pod): boolean => programOf(pod) !== undefined && pod.container.args === undefined;
export const portOf = (pod: Pod, port: string | number): number | undefined =>
  typeof port === "number" ? port : pod.container.ports?.find((one: Json) => one.name === port)?.containerPort;

export const selects = (selector: Json, labels: Record<string, string>): boolean =>
  Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value) &&
  (selector.matchExpressions ?? []).every(
    ({ key, operator, values }: Json) => operator === "In" && values.includes(labels[key]),
  );
