// Builds the page into a folder: `node build.mjs FOLDER`. The same sources give the same bytes: no date, no path, no hash in a
// name. It prints the names of the packages that are part of the bundle, one a line.

import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error("Usage: node build.mjs FOLDER");
  process.exit(2);
}
const here = fileURLToPath(new URL(".", import.meta.url));
await mkdir(folder, { recursive: true });
const result = await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx", style: "src/styles/app.css" },
  outdir: "out",
  write: false,
  metafile: true,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2024"],
  charset: "utf8",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
});
for (const file of result.outputFiles) {
  const name = file.path.endsWith(".css") ? "app.css" : "app.js";
  await writeFile(join(folder, name), file.contents);
}
await cp(join(here, "src/index.html"), join(folder, "index.html"));
const packages = Object.keys(result.metafile.inputs).map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]);
console.log([...new Set(packages.filter((name) => name !== undefined))].sort().join("\n"));
