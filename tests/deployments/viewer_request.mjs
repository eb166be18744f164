// Runs a CloudFront Function over many requests: a vm context that has what runtime 2.0 has.
// node viewer_request.mjs function.js   reads keys.json and requests.json, writes answers.json
import crypto from 'node:crypto';
import fs from 'node:fs';
import vm from 'node:vm';

const IMPORT = /^import\s+(\w+)\s+from\s+'(\w+)';$/gm;
const read = (name) => JSON.parse(fs.readFileSync(name, 'utf8'));
const stored = new Map(Object.entries(read('keys.json')));
const modules = {
  cloudfront: {
    kvs: () => ({
      get: async (key) => {
        if (!stored.has(key)) throw new Error('KeyNotFound');
        return stored.get(key);
      },
    }),
  },
  crypto: { createHmac: crypto.createHmac },
};
const source = fs
  .readFileSync(process.argv[2], 'utf8')
  .replace(IMPORT, (_, name, module) => `const ${name} = modules['${module}'];`);
const context = vm.createContext(
  { Buffer, modules },
  { codeGeneration: { strings: false, wasm: false } },
);
vm.runInContext(`"use strict";${source};globalThis.handler = handler;`, context);
const answers = [];
for (const request of read('requests.json'))
  answers.push(await context.handler({ version: '1.0', context: {}, viewer: {}, request }));
fs.writeFileSync('answers.json', JSON.stringify(answers));
