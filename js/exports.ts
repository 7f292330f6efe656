// Owns what every entry of the package gives besides run(), createAI() and install(). Called by index.ts and workerd.ts.
// Surprise: the global Azion is declared here, as an interface, so that programs can add the members they use.
import type { AI } from './ai.ts';

export { type AI, type AIInfo, type AIOptions, demoModel, type LocalInfo } from './ai.ts';
export type { RemoteInfo, RunBody, RunExtras } from './ai.ts';
export type { Adapters, AdapterSource } from './adapters.ts';
export type { CoreEvent, LogprobEntry, TokenLogprob } from './abi/calls.ts';
export { type VariantName, variants } from './abi/variants.ts';
export { errorObject, OcelliError } from './errors.ts';
export { modelAliases } from './models.ts';
export { environmentOptions } from './remote/environment.ts';
export type { Decision, EngineChoice, HostLimits, RemoteOptions } from './remote/options.ts';
export type { EngineEvent, EngineInfo } from './thread/protocol.ts';
export type * from './types.ts';
export type { AdapterFiles, AdapterPlace } from './weights/adapter_files.ts';
export type { CacheChoice } from './weights/cache/choose.ts';
export type { CachedModel, DamagedShard } from './weights/cache/library.ts';
export { openCache, type WeightsCache } from './weights/cache/open.ts';
export type { DownloadOptions, HeaderMap, SourceOptions } from './weights/download_options.ts';
export type { LoadProgress, ProgressCallback } from './weights/progress.ts';
export { pull, type Pulled, type PullOptions } from './weights/pull.ts';
export type { Manifest, ShardInfo, ShardReader, ShardSource } from './weights/source.ts';

/** What the hosted platform offers as a global. */
export interface AzionGlobal {
  AI: { run: AI['run'] };
}

declare global {
  var Azion: AzionGlobal;
}
