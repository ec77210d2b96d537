// Merges the same updates once for each line that comes in, and says how many nanoseconds it took and how many are left.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createTransaction } from "@tanstack/db";

const ID_BYTES = 16;
const FIELDS = 10;

const bytes = readFileSync(process.argv[2]);
// Merging updates with updates looks nothing up in it.
const collection = { id: "notes" };
const [original, syncMetadata, now] = [{}, {}, new Date()];

// The names and order of fields that TanStack DB's own mutations have.
function mutation(at) {
  const key = bytes.toString("hex", at, at + ID_BYTES);
  const value = (field) => bytes.readUInt32LE(at + ID_BYTES + 4 * field);
  const changes = {
    f0: value(0), f1: value(1), f2: value(2), f3: value(3), f4: value(4),
    f5: value(5), f6: value(6), f7: value(7), f8: value(8), f9: value(9),
  };
  return {
    mutationId: key,
    original,
    modified: changes,
    changes,
    globalKey: `KEY::${JSON.stringify([collection.id, "string", key])}`,
    key,
    metadata: undefined,
    syncMetadata,
    optimistic: true,
    type: "update",
    createdAt: now,
    updatedAt: now,
    collection,
  };
}

const mutations = [];
for (let at = 0; at < bytes.length; at += ID_BYTES + 4 * FIELDS) {
  mutations.push(mutation(at));
}

// Nothing of a round is left to the next one, nor to be cleared away while others are measured.
globalThis.gc();
console.log("ready");
for await (const _ of createInterface({ input: process.stdin })) {
  const transaction = createTransaction({ autoCommit: false, mutationFn: async () => {} });
  const began = process.hrtime.bigint();
  transaction.applyMutations(mutations);
  const took = process.hrtime.bigint() - began;
  const left = transaction.mutations.length;
  transaction.mutations = [];
  await transaction.commit();
  globalThis.gc();
  console.log(`${took} ${left}`);
}
