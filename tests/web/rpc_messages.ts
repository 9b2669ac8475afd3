// The services and messages of the contracts, as the gateway has compiled them, for clients that make their messages at run time.
import { readFileSync } from "node:fs";
import { createFileRegistry, type DescMethod, type DescService, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

const programs = process.env["BULKHEAD_BIN"] ?? "";
if (programs === "") throw new Error("BULKHEAD_BIN must name the programs under test; make test ONLY=web sets it");

export const PROTOSET = `${programs}/../bulkhead.protoset`;
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(PROTOSET)));

export function serviceOf(name: string): DescService {
  const service = registry.getService(name);
  if (service === undefined) throw new Error(`the contracts have no service ${name}`);
  return service;
}

export function methodOf(service: string, name: string): DescMethod {
  const method = serviceOf(service).methods.find((one) => one.name === name);
  if (method === undefined) throw new Error(`${service} has no method ${name}`);
  return method;
}
