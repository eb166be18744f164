// Bundles src/ into dist/: index.html, and everything else under content-hashed names in assets/.
import { readFile, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { build } from "esbuild";

const LICENSED = ["hls.js", "@fontsource-variable/inter"];

await rm("dist", { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: ["src/main.ts", "src/style.css", "src/icon.svg", "src/audio.svg"],
  outdir: "dist/assets",
  entryNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  loader: { ".svg": "copy", ".woff2": "file" },
  bundle: true,
  format: "esm",
  target: ["es2022", "chrome111", "firefox113", "safari16.4"],
  minify: true,
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});

const assetPaths = new Map(
  Object.entries(metafile.outputs)
    .filter(([, output]) => output.entryPoint)
    .map(([path, output]) => [basename(output.entryPoint), path.replace(/^dist/, "")]),
);
const template = await readFile("src/index.html", "utf8");
const page = template.replaceAll(/\{\{(.+?)\}\}/g, (_, name) => {
  const path = assetPaths.get(name);
  if (path === undefined) throw new Error(`src/index.html names ${name}, which is not built`);
  return path;
});
const licences = await Promise.all(
  LICENSED.map(
    async (name) => `${name}\n\n${await readFile(`node_modules/${name}/LICENSE`, "utf8")}`,
  ),
);
await writeFile("dist/assets/licences.txt", licences.join("\n\n"));
await writeFile("dist/index.html", page);
