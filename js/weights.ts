// Owns the entry `ocelli/weights`: the loader alone, without the engine. Called by users: to fill a cache at deployment, to
// serve shards, to read a container. Surprise: a source is what createAI({ model }) takes, so what is made here can be
// wrapped and handed there.
export { OcelliError } from './errors.ts';
export type { CacheChoice } from './weights/cache/choose.ts';
export type { CachedModel, DamagedShard } from './weights/cache/library.ts';
export { openCache, type WeightsCache } from './weights/cache/open.ts';
export type { DownloadOptions, HeaderMap, SourceOptions } from './weights/download_options.ts';
export { parseManifest } from './weights/manifest.ts';
export type { LoadProgress, ProgressCallback } from './weights/progress.ts';
export { pull, type Pulled, type PullOptions } from './weights/pull.ts';
export type { Manifest, ShardInfo, ShardReader, ShardSource } from './weights/source.ts';
export { shardFile, sourceFrom } from './weights/source.ts';
