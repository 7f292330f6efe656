// Owns the libraries that are compiled into the core or its tests: each a folder of its own under the prefix.
// Called by tools/setup.mjs; read by tools/third_party.cmake. Surprise: utf8proc and libwebp come as source
// archives, since the WebAssembly builds compile them too.
import { cpSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { component, run } from './io.mjs';
import { fetchDebian, unpackDeb } from './debian.mjs';
import { pins } from './system.mjs';

/** name used in CMake -> pin, the part of the archive that is kept. */
const libraries = {
  json: { pin: 'nlohmann-json3-dev', keep: 'usr/include' },
  stb: { pin: 'libstb-dev', keep: 'usr/include/stb' },
  utf8proc: { pin: 'utf8proc' },
  webp: { pin: 'libwebp' },
  googletest: { pin: 'googletest', keep: 'usr/src/googletest' },
};

/** Makes the named libraries ready and returns name -> folder. */
export async function thirdParty(prefix, names) {
  const folders = {};
  for (const name of names) {
    const { pin, keep } = libraries[name];
    const title = `${name} ${pins.debian[pin].version}`;
    const key = { pin: pins.debian[pin], keep, layout: 1 };
    folders[name] = await component(prefix, name, key, title, async (folder) => {
      const file = await fetchDebian(prefix, pin, folder);
      const target = join(folder, 'files');
      mkdirSync(target);
      if (pins.debian[pin].kind === 'source') {
        await run('tar', ['-xf', file, '-C', target, '--strip-components=1']);
      } else {
        const all = join(folder, 'all');
        await unpackDeb(file, all);
        cpSync(join(all, keep), target, { recursive: true });
        await run('rm', ['-rf', all]);
      }
      await run('rm', [file]);
      renameSync(target, join(folder, 'tree'));
    });
    folders[name] = join(folders[name], 'tree');
  }
  return folders;
}
