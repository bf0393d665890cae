// Compiles only when the generated types say what the schema says.
import type { ReadQuery, StartMutationVariables } from './made.js';

export function vectors(read: ReadQuery): number[][] {
  return (read.document?.chunks.nodes ?? []).flatMap((chunk) => chunk.embeddings.map((embedding) => embedding.vector));
}

export const start: StartMutationVariables = { input: { scope: { documentId: 'tides' } } };

// @ts-expect-error: a title is no number
export const title = (read: ReadQuery): number | undefined => read.document?.title;
