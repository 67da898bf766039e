// The package as its users get it: packed, installed elsewhere, and run as the README says.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, inject, test } from "vitest";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const LOCAL_URL = "http://localhost:3655";
const readme = readFileSync(join(PACKAGE, "README.md"), "utf8");
const examples = [...readme.matchAll(/```ts\n(.*?)```/gs)].map((match) => match[1]!);
let project: string;
let files: string[];

function run(directory: string, program: string, ...words: string[]): string {
  return execFileSync(program, words, { cwd: directory, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), "arsenal-identity-client-"));
  const report = run(PACKAGE, "npm", "pack", "--json", "--silent", "--pack-destination", project);
  const [packed] = JSON.parse(report.slice(report.indexOf("["))) as [{ filename: string; files: { path: string }[] }];
  files = packed.files.map((file) => file.path);
  writeFileSync(join(project, "package.json"), '{"type": "module", "private": true}');
  const quiet = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"];
  run(project, "npm", "install", ...quiet, `./${packed.filename}`);
}, 120_000);
afterAll(() => rmSync(project, { recursive: true, force: true }));

test("the package has code, types, README and licence, and nothing else", () => {
  expect(files).toEqual(expect.arrayContaining(["LICENSE", "README.md", "dist/index.js", "dist/index.d.ts"]));
  expect(files.filter((file) => !/^(dist\/[a-z]+\.(js|d\.ts)|package\.json|README\.md|LICENSE)$/.test(file))).toEqual([]);
});

test("no module of it imports one of Node's, so browsers can have it", () => {
  for (const file of files.filter((name) => name.endsWith(".js")))
    expect(readFileSync(join(PACKAGE, file), "utf8"), file).not.toMatch(/from "node:|require\(|\bprocess\./);
});

test.each(examples.map((example, index) => [index + 1, example] as const))(
  "example %d of the README runs with Node",
  (index, example) => {
    expect(example).toContain(LOCAL_URL);
    writeFileSync(join(project, `example-${index}.js`), example.replaceAll(LOCAL_URL, inject("service")));
    expect(run(project, process.execPath, `example-${index}.js`)).not.toBe("");
  },
  30_000,
);
