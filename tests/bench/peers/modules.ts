// Owns the types of what peers.test.ts calls of the benchmark's JavaScript, and loading it. Used by that test only.
export interface Spread {
  min: number;
  median: number;
  max: number;
  samples: number;
}
export interface Row {
  peer: string;
  what: string;
  threads: number;
  tier: string;
  theirs: Spread;
  own: Spread;
  ratio: Spread;
}
export interface Results {
  rounds: number;
  peers: { name: string; version: string; note?: string; sizes: Record<string, number> }[];
  failed: { name: string; error: string }[];
  compared: Row[];
}
interface Tensor {
  name?: string;
  type: string;
  shape: number[];
}
type Sizes = Record<string, number>;

interface Peer {
  name: string;
  sizes: { prompt: number };
}

interface Modules {
  'ratios.mjs': {
    compared(samples: readonly object[]): Row[];
    markdown(results: Results, machine: object): string;
    orderOf(peers: readonly { name: string; group: string }[], round: number): { who: string }[];
    peerTables(results: Results): string[];
    ratio(what: string, own: number, theirs: number): number;
  };
  'chart.mjs': {
    chart(results: Results, caption: string): string;
    ticksOf(rows: readonly { ratio: Pick<Spread, 'min' | 'max'> }[]): number[];
  };
  'gguf.mjs': {
    halfOf(value: number): number;
    key(type: string, value: unknown): Buffer;
    rawKeys(file: string): Map<string, Buffer>;
    tensorBytes(tensor: Tensor): number;
    writeGguf(file: string, keys: Map<string, Buffer>, tensors: readonly Tensor[]): void;
  };
  'gguf_models.mjs': { partsOf(tensors: readonly Tensor[], limit: number): Tensor[][] };
  '../../browser/browser.mjs': {
    fileOf(path: string, roots: object, overlay?: object): string | null;
  };
  'ocelli_side.mjs': {
    callsFor(what: readonly string[], sizes: Sizes): Sizes[];
    figuresOf(call: Sizes, figures: object): [string, number][];
  };
  'peers.mjs': { peers: Peer[]; chosenPeers(names: string): Peer[] };
  'browser/ocelli_phases.mjs': {
    measure(
      built: (name: string) => Promise<unknown>,
      model: string,
      options: object,
    ): Promise<Record<string, number>>;
  };
  'process.mjs': { jsonLines(text: string): unknown[] };
  'onnx.mjs': {
    node(operator: string, inputs: string[], outputs: string[], attributes?: object): Buffer;
  };
}

export async function load<Name extends keyof Modules>(name: Name): Promise<Modules[Name]> {
  const url = new URL(name, import.meta.url).href;
  return (await import(url)) as Modules[Name];
}
