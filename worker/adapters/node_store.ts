// Owns the store on Node: one SQLite file. Called by `ocelli serve` and whoever serves on Node. Surprise: Node has SQLite
// itself from 22.13 on; before, @photostructure/sqlite has the same interface with binaries in its package, so it is
// asked for by name and no dependency: 29 MB that nobody with a newer Node needs. The file belongs to one process at a time.
import { OcelliError } from '../../js/errors.ts';
import {
  type Kept,
  type Store,
  storeDefaults,
  storeFull,
  type StoreLimits,
  weightOf,
} from '../store/store.ts';

const schema = 1;

type Value = string | number | Uint8Array;
interface Statement {
  run(...values: Value[]): { changes: number | bigint };
  get(...values: Value[]): unknown;
  all(...values: Value[]): unknown[];
}
/** What is used of node:sqlite, whose types are not in those of the oldest Node we support. */
interface Database {
  exec(sql: string): void;
  prepare(sql: string): Statement;
  close(): void;
}

async function sqlite(): Promise<new (file: string) => Database> {
  for (const name of ['node:sqlite', '@photostructure/sqlite']) {
    try {
      return ((await import(name)) as { DatabaseSync: new (file: string) => Database })
        .DatabaseSync;
    } catch {
      continue;
    }
  }
  throw new OcelliError(
    500,
    'no_sqlite',
    `Node ${process.versions.node} has no SQLite: use Node 22.13 or newer, or install @photostructure/sqlite`,
  );
}

interface Row {
  kind: Kept['kind'];
  owner: string;
  id: string;
  open: number;
  expires: number;
  bytes: Uint8Array;
}
const entryOf = (row: Row): Kept => ({ ...row, open: row.open === 1 });

/** The store in `file`, which is made where there is none. Rejects with an OcelliError when it cannot be used. */
export async function sqliteStore(
  file: string,
  options: Partial<StoreLimits> = {},
): Promise<Store> {
  const { bytesMax, clock } = { ...storeDefaults, ...options };
  const database = opened(await sqlite(), file);
  const columns = 'kind, owner, id, open, expires, bytes';
  const whose = 'kind = ? AND owner = ? AND id = ?';
  const write = database.prepare(
    `INSERT INTO kept(${columns}, weight) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, owner, id)
     DO UPDATE SET open = excluded.open, expires = excluded.expires, bytes = excluded.bytes, weight = excluded.weight`,
  );
  const read = database.prepare(`SELECT ${columns} FROM kept WHERE ${whose}`);
  const weigh = database.prepare(`SELECT weight FROM kept WHERE ${whose}`);
  const unfinished = database.prepare(
    `SELECT ${columns} FROM kept WHERE kind = ? AND open = 1 ORDER BY age`,
  );
  const expire = database.prepare('DELETE FROM kept WHERE open = 0 AND expires <= ?');
  const oldest = database.prepare(
    'SELECT age, weight FROM kept WHERE open = 0 AND NOT (kind = ? AND owner = ? AND id = ?) ORDER BY age LIMIT 1',
  );
  const drop = database.prepare('DELETE FROM kept WHERE age = ?');
  const sum = database.prepare('SELECT coalesce(sum(weight), 0) AS held FROM kept');
  const heldNow = (): number => Number((sum.get() as { held: number }).held);
  let held = heldNow();

  /** Makes room for `more` bytes beside `spared`: first what is over, then the oldest of what is finished. */
  const makeRoom = (more: number, spared: string[]): void => {
    const expired = Number(expire.run(clock()).changes) > 0;
    if (expired) held = heldNow();
    if (!expired && held + more <= bytesMax) return;
    while (held + more > bytesMax) {
      const row = oldest.get(...spared) as { age: number; weight: number } | undefined;
      if (!row) throw storeFull(bytesMax);
      drop.run(row.age);
      held -= row.weight;
    }
    database.exec('PRAGMA incremental_vacuum');
  };

  return {
    lasting: file !== ':memory:',
    async put({ kind, owner, id, open, expires, bytes }) {
      const before = weigh.get(kind, owner, id) as { weight: number } | undefined;
      const weight = weightOf({ bytes, owner, id });
      const more = weight - (before?.weight ?? 0);
      makeRoom(more, [kind, owner, id]);
      write.run(kind, owner, id, open ? 1 : 0, Math.ceil(expires), bytes, weight);
      held += more;
    },
    async get(kind, owner, id) {
      const row = read.get(kind, owner, id) as Row | undefined;
      return row && (row.open === 1 || row.expires > clock()) ? entryOf(row) : undefined;
    },
    async open(kind) {
      return (unfinished.all(kind) as Row[]).map(entryOf);
    },
    async close() {
      // The file is free for the next one also while statements wait for the collector.
      database.exec('PRAGMA locking_mode = NORMAL; SELECT count(*) FROM kept');
      database.close();
    },
  };
}

function opened(Database: new (file: string) => Database, file: string): Database {
  let database: Database | undefined;
  try {
    database = new Database(file);
    prepare(database, file);
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof OcelliError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new OcelliError(500, 'store_unusable', `${file} cannot be used: ${reason}`, null, error);
  }
}

function prepare(database: Database, file: string): void {
  // The vacuum's kind has to be said before the first table; the lock is held until the process ends, however it does.
  database.exec(
    `PRAGMA auto_vacuum = INCREMENTAL; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = TRUNCATE;
     PRAGMA synchronous = FULL`,
  );
  const version = (database.prepare('PRAGMA user_version').get() as { user_version: number })
    .user_version;
  if (version !== 0 && version !== schema)
    throw new OcelliError(
      500,
      'store_unusable',
      `${file} is of version ${version}; this one reads ${schema}`,
    );
  database.exec(
    `BEGIN IMMEDIATE;
     CREATE TABLE IF NOT EXISTS kept(
       age INTEGER PRIMARY KEY, kind TEXT NOT NULL, owner TEXT NOT NULL, id TEXT NOT NULL, open INTEGER NOT NULL,
       expires INTEGER NOT NULL, weight INTEGER NOT NULL, bytes BLOB NOT NULL, UNIQUE (kind, owner, id));
     CREATE INDEX IF NOT EXISTS by_expiry ON kept(open, expires);
     PRAGMA user_version = ${schema};
     COMMIT`,
  );
}
